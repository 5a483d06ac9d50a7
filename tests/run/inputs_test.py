"""The data of a run where they are not there yet, and others want them, too."""

import logging
import threading

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.input import dataset
from sam_pod.data.prepare import job
from sam_pod.data.stored import manifest
from sam_pod.machines import workers
from sam_pod.run import inputs
from sam_pod.storage import turns


def small(directory, name="digits"):
    config = config_lib.defaults()
    config.data.name, config.data.dir = name, str(directory)
    return config


def prepare_missing(config):
    alone = workers.Workers(tf.distribute.get_strategy())
    inputs.prepare_missing(config, alone, threading.Event())


def test_of_several_first_runs_one_prepares_and_all_have_the_data(tmp_path, caplog):
    caplog.set_level(logging.INFO, "absl")
    config = small(tmp_path / "new" / "set")
    ends = []

    def run():
        prepare_missing(config)
        ends.append(manifest.read(config.data.dir).num_examples("train"))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [1347] * 3
    assert caplog.text.count("Preparing digits in") == 1


def test_data_that_a_run_prepares_have_the_noise_it_asks_for(tmp_path):
    """As the command prepares them; other data are refused, whoever wrote them."""
    config = small(tmp_path / "run")
    config.data.label_noise = 0.4
    prepare_missing(config)
    by_hand = job.prepare("digits", "", str(tmp_path / "hand"), label_noise=0.4)
    found = dataset.read_manifest(config)
    assert found.digest() == by_hand.digest()
    assert found.label_noise.items() >= {"rate": 0.4, "seed": 0}.items()
    config.data.label_noise = 0.2
    with pytest.raises(
        errors.UserError, match=r"is 0.2 \(excluding\), and 0.4 \(excluding\) of the"
    ):
        dataset.read_manifest(config)
    config.data.label_noise, config.data.label_noise_kind = 0.4, "including"
    with pytest.raises(
        errors.UserError, match=r"0.4 .excluding.*--label_noise_kind=including` has"
    ):
        dataset.read_manifest(config)
    config.data.label_noise_kind = "excluding"
    config.data.label_noise = 0.0  # As they are.
    assert dataset.read_manifest(config) == found


def test_a_run_waits_for_data_that_the_command_prepares(tmp_path, caplog):
    caplog.set_level(logging.INFO, "absl")
    config = small(tmp_path / "set", "images")
    waits = threading.Event()
    caller = turns.Caller()
    wish = ["prepare", "--dataset=digits", "--name=images"]
    values = job.parse([*wish, f"--output={tmp_path / 'set'}"])
    with job.turn(values, caller) as is_ours:
        assert is_ours

        class Waits(logging.Handler):
            def emit(self, record):
                if "waiting for it" in record.getMessage():
                    waits.set()

        handler = Waits()
        logging.getLogger("absl").addHandler(handler)
        thread = threading.Thread(target=prepare_missing, args=(config,))
        thread.start()
        assert waits.wait(60)
        job.prepare("digits", "", str(tmp_path / "set"))
    thread.join()
    logging.getLogger("absl").removeHandler(handler)
    assert "is making" in caplog.text
