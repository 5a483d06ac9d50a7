"""Time a study of the digits beside its runs by hand, and two runs at once.

python -m tests.bench.study --data_dir=data/digits [--epochs=30] [--seeds=2]

Three ways take the same runs, SAM and the baseline with some seeds: each as a command
of its own, one after the other; a study with --jobs=1; and one with --jobs=2, whose
runs have half of the cores each. All must be free. The set is made by
`python -m sam_pod.data.prepare --dataset=digits --output=data/digits`.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
RECIPE = f"{ROOT}/configs/resnet20.py:digits"
RHOS = {"baseline": 0.0, "SAM": 0.2}
PAGE = """
from sam_pod.study import Arm, Study


def get_study(variant=""):
    arms = [Arm(name, {recipe!r}, {{"sam.rho": rho}}) for name, rho in {rhos!r}.items()]
    seeds = range({seeds})
    return Study("A bench", arms, seeds, overrides={keys!r}, budget="epochs")
"""


def run(*command):
    """Return the seconds that a command takes."""
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", *command],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - begun


def by_hand(folder, keys, seeds):
    """Return the seconds of each run."""
    flags = [f"--config.{key}={value}" for key, value in keys.items()]
    return [
        run(
            "sam_pod.main",
            f"--config={RECIPE}",
            f"--workdir={folder}/hand/{name}-{seed}",
            f"--config.sam.rho={rho}",
            f"--config.seed={seed}",
            *flags,
        )
        for seed in range(seeds)
        for name, rho in RHOS.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    keys = {
        "data.dir": str(pathlib.Path(args.data_dir).resolve()),
        "num_epochs": args.epochs,
        "early_stopping.patience": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder, "page.py")
        page.write_text(
            PAGE.format(recipe=RECIPE, rhos=RHOS, seeds=args.seeds, keys=keys)
        )
        runs = by_hand(folder, keys, args.seeds)
        each = ", ".join(f"{seconds:.1f}" for seconds in runs)
        print(f"by hand: {sum(runs):.1f} s ({each})", flush=True)
        study = {}
        for jobs in (1, 2):
            output = f"--output={folder}/{jobs}"
            study[jobs] = run(
                "sam_pod.study", f"--study={page}", output, f"--jobs={jobs}"
            )
            print(f"a study with --jobs={jobs}: {study[jobs]:.1f} s", flush=True)
    print(f"a study over its runs: {study[1] / sum(runs) - 1:+.1%}")
    print(f"--jobs=2: {study[1] / study[2]:.2f} x the runs an hour of --jobs=1")


if __name__ == "__main__":
    main()
