"""Setting up: what does not fit is refused before anything is written."""

import dataclasses
import json
import logging
import os
import shutil

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.machines import runtime, workers
from sam_pod.process import signals
from sam_pod.run import session, surroundings
from tests import fixtures, runs
from tests.training import StopAfter, run


def begin(config, workdir):
    """Leave a run that was interrupted after its first loop."""
    with pytest.raises(signals.Interrupted):
        run(config, workdir, StopAfter(0))


def test_data_of_another_name_and_changed_data_are_refused(tmp_path):
    config = runs.small_config(tmp_path, num_epochs=1, **{"data.name": "cifar10"})
    with pytest.raises(errors.UserError, match=r"holds 'images'.*is 'cifar10'"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    config.data.name = "images"
    begin(config, tmp_path / "run")
    shutil.rmtree(config.data.dir)
    fixtures.write_data(config.data.dir, train=99, test=30)
    with pytest.raises(errors.UserError, match=r"another content of `data\.dir`"):
        run(config, tmp_path / "run")


def test_a_change_is_said_of_a_run_that_goes_on_and_of_no_other(tmp_path, caplog):
    caplog.set_level(logging.INFO, "absl")
    config = runs.small_config(tmp_path, num_epochs=1)
    begin(config, tmp_path / "run")
    config.num_epochs = 2
    model = config.model.name
    shutil.copy(model, tmp_path / "kept.keras")
    runs.save_model(model, seed=2)
    with pytest.raises(errors.UserError, match="another content"):
        run(config, tmp_path / "run", accepted=["num_epochs"])
    assert "goes from" not in caplog.text
    shutil.copy(tmp_path / "kept.keras", model)
    with pytest.raises(signals.Interrupted):
        run(config, tmp_path / "run", StopAfter(0), accepted=["num_epochs"])
    assert "`num_epochs` goes from 1 to 2" in caplog.text


def test_a_model_that_mixes_images_alone_is_refused(tmp_path):
    images = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(images))
    mixed = keras.layers.MixUp()(images)
    model = keras.Model(images, keras.Model(images, outputs)(mixed))
    model.save(tmp_path / "small.keras")
    config = runs.small_config(tmp_path)
    with pytest.raises(errors.UserError, match=r"MixUp.*`data\.augment` to 'mixup'"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_when_the_batch_does_not_divide(tmp_path):
    config = runs.small_config(tmp_path)
    with pytest.raises(errors.UserError, match=r"\(16\).*\(3\)"):
        run(config, tmp_path / "run", strategy=fixtures.mirrored(3))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [("sam.variant", "'sma'.*'sam'"), ("sam.sync", "'gobal'.*'global'")],
)
def test_unknown_names_are_refused(tmp_path, key, message):
    config = runs.small_config(tmp_path)
    config.update_from_flattened_dict({key: message.split("'")[1]})
    with pytest.raises(errors.UserError, match=message):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.name", "resnet2"),
        ("data.name", "digit"),
        ("optimizer.name", "adan"),
        ("schedule.name", "cosin"),
        ("data.augment", "crpo"),
    ],
)
def test_names_are_checked_before_data_are_prepared(tmp_path, key, value):
    new = str(tmp_path / "digits")
    config = runs.small_config(
        tmp_path, **{"data.name": "digits", "data.dir": new, key: value}
    )
    with pytest.raises(errors.UserError, match=value):
        run(config, tmp_path / "run")
    assert not os.path.exists(new)


@pytest.mark.slow
def test_a_changed_model_file_is_refused(tmp_path):
    config = runs.small_config(tmp_path, num_epochs=1)
    begin(config, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / surroundings.FILE).read_text())
    assert kept == [surroundings.current()]
    runs.save_model(config.model.name, seed=2)
    with pytest.raises(errors.UserError, match=r"another content of `model\.name`"):
        run(config, tmp_path / "run")


def test_what_does_not_fit_the_data_is_refused(tmp_path):
    config = runs.small_config(tmp_path, **{"data.crop_padding": 9})
    with pytest.raises(errors.UserError, match=r"crop_padding` is 9.*side.*, 8\."):
        run(config, tmp_path / "run")
    flat = tmp_path / "flat"
    manifest = fixtures.write_data(flat, train=100, test=30)
    std = (manifest.std[0], 0.0, manifest.std[2])
    text = dataclasses.replace(manifest, std=std).to_json()
    (flat / "manifest.json").write_text(text)
    config = runs.small_config(
        tmp_path, **{"data.standardize": True, "data.dir": str(flat)}
    )
    with pytest.raises(errors.UserError, match="a channel of the data never varies"):
        run(config, tmp_path / "run")
    config.data.dir = f"{flat}/manifest.json"
    with pytest.raises(errors.UserError, match=r"`data\.dir` .*Not a directory"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_groups_of_chips_that_are_apart_get_a_warning(caplog):
    strategy = fixtures.mirrored(4)
    line = np.array([[0, 0], [1, 0], [2, 0], [3, 0]])

    def warned(coordinates):
        caplog.clear()
        where = runtime.Runtime(
            strategy, workers.Workers(strategy), coordinates=coordinates
        )
        session._check_neighbours("2", where)
        return "are not neighbours" in caplog.text

    assert not warned(None)
    assert not warned(line)
    assert warned(line[[0, 2, 1, 3]])
