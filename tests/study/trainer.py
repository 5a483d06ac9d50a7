"""A stand-in for `python -m sam_pod.main`: it leaves what a run leaves, at once.

Its accuracy is a function of the config, so that a study's figures are known.
"""

import json
import os
import pathlib
import signal
import sys
import threading

from sam_pod.config import command_line, keys, passes
from sam_pod.run import curve, spread, workdir
from sam_pod.storage import files

VALIDATION, TEST = 0.5, 0.7


def score(config):
    """Return what a run of this config adds to both accuracies."""
    return config.sam.rho - 0.01 * config.seed * (1 + config.sam.rho)


def spread_of(config):
    """Return what a model with BatchNorm notes on this machine's CPU."""
    count = config.runtime.cpu_replicas
    together = count if config.sam.sync == "global" else 1
    return spread.of(config, count, 1, together, has_batch_norm=True)


def train(config, folder, epochs):
    """Leave a run of so many epochs."""
    os.makedirs(folder / "checkpoints", exist_ok=True)
    (folder / workdir.CONFIG).write_text(keys.to_json(config))
    (folder / workdir.INPUTS).write_text(json.dumps({"data.dir": "d" * 64}))
    cost = 10 * passes.mean(config)
    points = [
        curve.Point(e, 10 * e, e * cost, 2.0 * e, 1.0, VALIDATION + score(config), 0.1)
        for e in range(1, epochs + 1)
    ]
    curve.write(str(folder), points)
    (folder / f"checkpoints/ckpt-{10 * epochs}-{epochs}.index").write_text("")
    if epochs < config.num_epochs:
        return
    scores = {"accuracy": TEST + score(config), "loss": 1.0 - score(config)}
    result = {
        "test_accuracy": scores["accuracy"],
        "test_loss": scores["loss"],
        "final_validation_accuracy": VALIDATION + score(config),
        "final_validation_loss": 1.0,
        "best_epoch": epochs,
        "epochs": epochs,
        "steps": 10 * epochs,
        "seconds": 2.0 * epochs,
        "gradients": points[-1].gradients,
        "input_wait": curve.mean_wait(points),
        "test_with": {"last": scores, "best": scores},
        **spread_of(config).to_json(),
    }
    (folder / workdir.RESULT).write_text(json.dumps(result))


def main(argv):
    print(f"Cores: {len(os.sched_getaffinity(0))}")
    values, _ = command_line.parse(argv)
    config, folder = values.config, pathlib.Path(values.workdir)
    # What becomes of the run is said by a rate that nothing reads.
    way = round(config.optimizer.epsilon)
    if way == 1:
        train(config, folder, 1)  # It has a config and a checkpoint.
        print("Error: The train/loss of step 3 is nan: training diverged.")
        return 1
    if way == 2:
        print("Error: a key is wrong.")
        return 1
    if way == 3:
        train(config, folder, 1)
        return 42
    if way == 4 and not (folder / "checkpoints").exists():
        train(config, folder, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    if way == 5:
        return slowly(config, folder)
    train(config, folder, config.num_epochs)
    return 0


def slowly(config, folder):
    """Train once `read` is among the runs, as if libraries were read for so long.

    As the trainer does, stop only after that, and hold the workdir from then on.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.makedirs(folder, exist_ok=True)
    (folder / f"reading-{os.getpid()}").write_text("")
    while not (folder.parents[1] / "read").exists():
        threading.Event().wait(0.01)
    lock = files.lock(str(folder / workdir.LOCK))
    if lock is None:
        print("Error: another process has this workdir.")
        return 1
    with lock:
        train(config, folder, config.num_epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[3:]))  # After the interpreter, -m and the module.
