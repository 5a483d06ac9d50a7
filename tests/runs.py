"""Runs of the trainer: recipes, processes, and what they leave in a workdir."""

import collections
import functools
import glob
import json
import operator
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.models import batch_norm
from sam_pod.step import metrics
from tests import fixtures

ROOT = pathlib.Path(__file__).parent.parent


def small_config(tmp_path, **overrides):
    """Return a config on a tiny data set, with everything in play that is random."""
    data = tmp_path / "data"
    if not data.exists():
        fixtures.write_data(data, train=100, test=30)
    model = tmp_path / "small.keras"
    if not model.exists():
        save_model(model)
    config = config_lib.defaults()
    values = {
        "global_batch_size": 16,
        "num_epochs": 4,
        "steps_per_loop": 3,
        "model.name": str(model),
        "data.name": "images",
        "data.dir": str(data),
        "data.augment": "crop,flip,brightness",
        "data.validation_examples": 20,
        "optimizer.name": "adam",
        "optimizer.learning_rate": 0.01,
        "schedule.name": "plateau",
        "schedule.plateau_patience": 1,
        "early_stopping.patience": 3,
        "early_stopping.restore_best_weights": True,
        **overrides,
    }
    for key, value in values.items():
        *sections, name = key.split(".")
        functools.reduce(operator.getitem, sections, config)[name] = value
    rules.validate(config)
    return config


def save_model(
    path,
    shape=(8, 8, 3),
    classes=4,
    seed=1,
    *,
    activation="relu",
    dropout=0.2,
    first=None,
):
    keras.utils.set_random_seed(seed)
    images = keras.Input(shape)
    x = keras.layers.Conv2D(8, 3)(first(images) if first else images)
    x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.Activation(activation)(x)
    x = keras.layers.Dropout(dropout)(x) if dropout else x
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(images, keras.layers.Dense(classes)(x)).save(path)


def write_recipe(path, config):
    """Write the config as a recipe file and return its path."""
    values = config.to_dict()
    path.write_text(
        "import ml_collections\n"
        f"def get_config(variant):\n    return ml_collections.ConfigDict({values!r})\n"
    )
    return str(path)


def expect_all_signals():
    """Take back what our own parent ignores: `nohup` SIGHUP, a script's & SIGQUIT."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Process:
    """The main command as a process; its lines are read as they come."""

    def __init__(self, *arguments, module="sam_pod.main", cwd=None, environment=None):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd or ROOT,
            env=environment,
            preexec_fn=expect_all_signals,
        )
        self.stderr = ""
        self.lines = []
        # Drained by a thread, so that a full pipe never blocks the process.
        self._drain = threading.Thread(target=self._read_stderr)
        self._drain.start()

    def _read_stderr(self):
        self.stderr = self._process.stderr.read()

    @property
    def pid(self):
        return self._process.pid

    def assert_runs(self):
        """Fail where the process has ended: what it was to do will not come."""
        assert self._process.poll() is None, self.stderr

    def read_until(self, *texts):
        """Read lines until one contains all `texts`; return whether one did."""
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if all(text in line for text in texts):
                return True
        return False

    def send(self, number):
        self._process.send_signal(number)

    def wait(self):
        """Read to the end and return the exit code."""
        self.read_until("\0")
        code = self._process.wait()
        self._drain.join()
        return code

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        return self.wait()


def main(*arguments, **keywords):
    """Run the main command to its end; return (exit code, lines, stderr)."""
    process = Process(*arguments, **keywords)
    code = process.wait()
    return code, process.lines, process.stderr


def user_error(*arguments, **keywords):
    """Run, expect exit code 1 with one line on stderr, and return that line."""
    code, _, stderr = main(*arguments, **keywords)
    assert code == 1, stderr
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1
    return stderr


def checkpoint_values(workdir, name="checkpoints"):
    """Return all variables of the newest checkpoint by name."""
    paths = glob.glob(os.path.join(workdir, name, "ckpt-*.index"))
    newest = max(paths, key=checkpoint_age)
    reader = tf.train.load_checkpoint(newest.removesuffix(".index"))
    return {
        key: reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        if key.endswith("VARIABLE_VALUE")
    }


def checkpoint_age(path):
    """Return (step, validated epochs) of `ckpt-<step>-<epochs>.index`."""
    _, step, epochs = os.path.basename(path).removesuffix(".index").split("-")
    return int(step), int(epochs)


def scalars(workdir):
    """Return {tag: {step: [values]}} of all event files; torn tails are left out."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    paths = glob.glob(os.path.join(workdir, "events*"))
    for path in sorted(paths, key=_time_and_number):
        try:
            for record in tf.data.TFRecordDataset(path):
                event = tf.compat.v1.Event.FromString(record.numpy())
                for value in event.summary.value:
                    plugin = value.metadata.plugin_data.plugin_name
                    if plugin in ("", "scalars") and value.HasField("tensor"):
                        number = tf.make_ndarray(value.tensor)
                        if number.shape == ():
                            found[value.tag][event.step].append(number.item())
        except tf.errors.DataLossError:
            pass
    return found


def _time_and_number(path):
    """Return what orders the files of events of one process: 10 comes after 9."""
    return [int(number) for number in re.findall(r"\d+", os.path.basename(path))]


def points(workdir):
    """Return (tag, step) of all that is in the event files; no torn tail is forgiven.

    As TensorFlow reads them one by one; TensorBoard's own reader, which notebooks use
    and which stops at a fault, must see the same.
    """
    found = []
    paths = glob.glob(os.path.join(workdir, "events*"))
    for path in sorted(paths, key=_time_and_number):
        for event in tf.compat.v1.train.summary_iterator(path):
            found += [(value.tag, event.step) for value in event.summary.value]
    accumulator = event_accumulator.EventAccumulator(
        str(workdir), dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    ).Reload()
    seen = [
        (tag, event.step)
        for tag in accumulator.Tags()["tensors"]
        for event in accumulator.Tensors(tag)
    ]
    assert sorted(found) == sorted(seen)
    return found


def result(workdir):
    with open(os.path.join(workdir, "result.json")) as file:
        return json.load(file)


def assert_equal_results(expected, got, but=()):
    """Compare two results key by key, but for what a clock measured and `but`."""
    clock = {"seconds", "examples_per_second", "input_wait"}
    assert got.keys() == expected.keys()
    for key in expected.keys() - clock - set(but):
        assert got[key] == expected[key], key


def assert_equal_checkpoints(a, b, name="checkpoints"):
    """Compare all variables bit for bit, but for the seconds spent."""
    first, second = checkpoint_values(a, name), checkpoint_values(b, name)
    assert first.keys() == second.keys()
    for key in first.keys() - {"progress/seconds/.ATTRIBUTES/VARIABLE_VALUE"}:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def assert_equal_scalars(a, b):
    first, second = scalars(a), scalars(b)
    for name in [*metrics.TRAIN, "validation/loss", "validation/accuracy", "test/loss"]:
        assert first[name].keys() == second[name].keys(), name
        for step, values in second[name].items():
            assert len(values) == 1, (name, step)
            assert values == first[name][step], (name, step)


def assert_equal_points(a, b):
    """Check that no step is there twice, and all tags at the same steps."""
    first, second = points(a), points(b)
    assert len(first) == len(set(first))
    assert len(second) == len(set(second))
    # Written where a loop ends, and where it does depends on the time.
    loops = (metrics.EXAMPLES_PER_SECOND, metrics.WAIT_FRACTION)
    assert {p for p in first if p[0] not in loops} == {
        p for p in second if p[0] not in loops
    }
