"""A run knows its model by its content, and keeps a copy of it."""

import dataclasses
import os
import threading

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.models import model_file
from sam_pod.process import signals
from sam_pod.run import digests, identity, trained, workdir
from sam_pod.storage import files
from tests import runs, training
from tests.data import sets


def save(path, seed=0, channels=3, classes=4):
    keras.utils.set_random_seed(seed)
    images = keras.Input((8, 8, channels))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    keras.Model(images, keras.layers.Dense(classes)(x)).save(path)
    return str(path)


def configured(name, **values):
    config = config_lib.defaults()
    config.model.name = str(name)
    for key, value in values.items():
        config.model[key] = value
    return config


def begin(folder, config):
    inputs = digests.of_inputs(config, "a")
    model = model_file.read(config.model.name)
    workdir.begin(folder, config, inputs, model).close()


@pytest.mark.parametrize("place", ["local", "bucket"])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_another_path_of_the_same_content_continues(
    tmp_path, monkeypatch, place, suffix
):
    folder = str(tmp_path / "run")
    if place == "bucket":
        folder = f"ram://{tmp_path.name}-{suffix}/run"
    path = save(tmp_path / f"m.{suffix}")
    begin(folder, configured(path))
    content = files.read_bytes(f"{folder}/initial.{suffix}")
    assert content == (tmp_path / f"m.{suffix}").read_bytes()
    monkeypatch.chdir(tmp_path)
    os.link(path, tmp_path / "copy.other")
    for name in (f"m.{suffix}", f"./m.{suffix}", str(tmp_path / "copy.other")):
        workdir.check(folder, configured(name))
        assert workdir.locate(folder, configured(name)).model.name == name
    begin(folder, configured("copy.other"))
    assert workdir.read_config(folder).model.name == "copy.other"
    other = save(tmp_path / "other.keras", seed=1)
    with pytest.raises(errors.UserError, match=r"`model\.name` was 'copy\.other', is"):
        workdir.check(folder, configured(other))
    with pytest.raises(errors.UserError, match="which is not there"):
        workdir.check(folder, configured("gone.keras"))
    with pytest.raises(errors.UserError, match=r"`model\.name` was 'copy\.other', is"):
        workdir.check(folder, configured("resnet20"))


def test_a_file_that_is_gone_is_replaced_by_the_runs_own_copy(tmp_path):
    folder, path = str(tmp_path / "run"), save(tmp_path / "m.keras")
    config = configured(path)
    assert workdir.locate(folder, config) is config
    begin(folder, config)
    copy = os.path.join(folder, "initial.keras")
    assert workdir.locate(folder, config).model.name == path
    assert workdir.locate(folder, config, own_first=True).model.name == copy
    digest = model_file.digest(path)
    os.remove(path)
    workdir.check(folder, config)
    located = workdir.locate(folder, config)
    assert located.model.name == copy and config.model.name == path
    assert digests.of_model(located)["model.name"] == digest
    # A damaged copy is none; what else is there is not asked for.
    save(copy, seed=1)
    assert workdir.locate(folder, config).model.name == path
    os.remove(copy)
    assert workdir.locate(folder, config, own_first=True).model.name == path


def test_another_content_at_the_same_path_is_refused(tmp_path):
    folder, path = str(tmp_path / "run"), save(tmp_path / "m.keras")
    begin(folder, configured(path))
    save(tmp_path / "m.keras", seed=1)
    located = workdir.locate(folder, configured(path))
    assert located.model.name == path
    with pytest.raises(errors.UserError, match=r"another content of `model\.name`"):
        begin(folder, located)


def test_a_run_without_a_copy_gets_one_when_it_continues(tmp_path):
    folder, path = str(tmp_path / "run"), save(tmp_path / "m.keras")
    config = configured(path)
    # As an older version began it.
    workdir.begin(folder, config, {"model.name": model_file.digest(path)}).close()
    assert not os.path.exists(f"{folder}/initial.keras")
    begin_with = {"model.name": model_file.digest(path)}
    workdir.begin(folder, config, begin_with, model_file.read(path)).close()
    assert os.path.exists(f"{folder}/initial.keras")


def test_trusted_code_is_known_by_its_content(tmp_path):
    folder, path = str(tmp_path / "run"), save(tmp_path / "m.keras")
    (tmp_path / "own.py").write_text("x = 1\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "own.py").write_text("x = 1\n")
    begin(folder, configured(path, trusted_modules=str(tmp_path / "own.py")))
    moved = configured(path, trusted_modules=str(tmp_path / "b" / "own.py"))
    workdir.check(folder, moved)
    (tmp_path / "b" / "own.py").write_text("x = 2\n")
    with pytest.raises(errors.UserError, match=r"`model\.trusted_modules` was"):
        workdir.check(folder, moved)
    with pytest.raises(errors.UserError, match=r"`model\.trusted_modules` was"):
        workdir.check(folder, configured(path))
    (tmp_path / "own.py").write_text("x = 3\n")
    same = configured(path, trusted_modules=str(tmp_path / "own.py"))
    with pytest.raises(
        errors.UserError, match=r"another content of `model\.trusted_modules`"
    ):
        begin(folder, same)


def test_workers_compare_contents_and_not_paths(tmp_path):
    first, second = save(tmp_path / "a.keras"), str(tmp_path / "b.keras")
    os.link(first, second)
    a, b = (
        identity.of(configured(p), digests.of_model(configured(p)))
        for p in (first, second)
    )
    assert identity.differences(a, b) == []
    other = configured(save(tmp_path / "c.keras", seed=1))
    c = identity.of(other, digests.of_model(other))
    assert "content `model.name`" in identity.differences(a, c)[0]
    own = configured("resnet20")
    d = identity.of(own, digests.of_model(own))
    assert "config `model.name` is 'resnet20'" in identity.differences(a, d)[0]


@pytest.mark.slow
def test_a_run_whose_file_is_gone_is_continued_and_exported(tmp_path):
    path = save(tmp_path / "m.keras")
    config = runs.small_config(tmp_path, **{"model.name": path, "num_epochs": 2})
    training.run(config, tmp_path / "whole")
    with pytest.raises(signals.Interrupted):
        training.run(config, tmp_path / "parts", training.StopAfter(2))
    os.remove(path)
    training.run(config, tmp_path / "parts", threading.Event())
    runs.assert_equal_checkpoints(tmp_path / "whole", tmp_path / "parts")
    found = trained.read(str(tmp_path / "parts"), "latest")
    assert found.config.model.name == path
    assert np.isfinite(found.checkpoint.values.weights[0]).all()


@pytest.mark.slow
def test_a_run_on_grey_images_stays_grey_when_its_file_is_gone(tmp_path):
    path = save(tmp_path / "m.keras", channels=1, classes=sets.CLASSES)
    images = [np.repeat(sets.noisy(i)[..., :1], 3, -1) for i in range(60)]
    grey = sets.write(tmp_path / "grey", images)
    grey = dataclasses.replace(grey, mean=(0.5,) * 3, std=(0.25,) * 3)
    (tmp_path / "grey" / "manifest.json").write_text(grey.to_json())
    values = {"model.name": path, "num_epochs": 2, "data.dir": str(tmp_path / "grey")}
    config = runs.small_config(tmp_path, **values)
    with pytest.raises(signals.Interrupted):
        training.run(config, tmp_path / "run", training.StopAfter(1))
    os.remove(path)
    training.run(config, tmp_path / "run", threading.Event())
    assert trained.read(str(tmp_path / "run"), "latest").image_shape == (8, 8, 1)
