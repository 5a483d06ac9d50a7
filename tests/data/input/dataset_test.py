"""From the config to a data set: what is seen, what is held, and whole runs of both."""

import json

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.input import dataset
from sam_pod.machines import host_memory
from tests import runs
from tests.data import sets
from tests.data.input import foreign_sets
from tests.training import run

IMAGES = [sets.jpeg(sets.noisy(i, (10 + i % 3, 12))) for i in range(130)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def encoded_config(tmp_path, **more):
    """Return a small config of a set of encoded images, seen at 8 x 8."""
    folder = tmp_path / "encoded"
    if not folder.exists():
        sets.write(folder, IMAGES[:100], tests=IMAGES[100:])
    config = runs.small_config(
        tmp_path,
        **{"data.dir": str(folder), "data.image_size": 8, "num_epochs": 1, **more},
    )
    runs.save_model(config.model.name, classes=sets.CLASSES)
    return config


def test_what_fits_in_the_share_of_memory_is_held(tmp_path, monkeypatch):
    config = encoded_config(tmp_path)
    needed = 130 * 8 * 8 * 3
    monkeypatch.setattr(host_memory, "total_bytes", lambda: needed * 4)
    assert dataset.load(config).view.is_held
    monkeypatch.setattr(host_memory, "total_bytes", lambda: needed * 4 - 1)
    assert not dataset.load(config).view.is_held
    config.data.memory_fraction = 1.0
    assert dataset.load(config).view.is_held
    config.data.memory_fraction = 0.0
    assert not dataset.load(config).view.is_held
    # Where training sees random parts, 30 and what is held out of it are held.
    config.data.augment, config.data.memory_fraction = "flip,inception", 1.0
    needed = (30 + config.data.validation_examples) * 8 * 8 * 3
    monkeypatch.setattr(host_memory, "total_bytes", lambda: needed)
    view = dataset.load(config).view
    assert view.is_held and view.random_parts and view.mirrors
    config.data.augment = "inception"
    assert not dataset.load(config).view.mirrors
    monkeypatch.setattr(host_memory, "total_bytes", lambda: needed - 1)
    assert not dataset.load(config).view.is_held


def test_memory_is_that_of_the_machine_or_its_container(tmp_path, monkeypatch):
    whole = host_memory.total_bytes()
    assert whole > 1 << 28
    limit = tmp_path / "limit"
    monkeypatch.setattr(host_memory, "_LIMITS", (str(tmp_path / "none"), str(limit)))
    for text, expected in (("max\n", None), ("1000000\n", 10**6)):
        limit.write_text(text)
        assert host_memory.total_bytes() == (expected or host_memory.total_bytes())
    assert host_memory.total_bytes() == 10**6


def test_images_of_any_size_need_one_in_the_config(tmp_path):
    config = encoded_config(tmp_path, **{"data.image_size": 0})
    with pytest.raises(errors.UserError, match=r"`data\.image_size` is 0"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_random_parts_of_what_is_not_square_need_a_size(tmp_path):
    folder = tmp_path / "raw"
    made = sets.write(folder, [sets.noisy(i, (8, 10)) for i in range(40)])
    config = runs.small_config(
        tmp_path, **{"data.dir": str(folder), "data.augment": "inception"}
    )
    with pytest.raises(errors.UserError, match=r"8x10: set `data\.image_size`"):
        dataset.image_shape(config, made)
    config.data.image_size = 6
    assert dataset.image_shape(config, made) == (6, 6, 3)


@pytest.mark.slow
def test_a_run_gives_the_same_bits_held_and_streamed(tmp_path):
    results = []
    for i, fraction in enumerate((1.0, 0.0)):
        more = {"data.augment": "flip,inception", "data.memory_fraction": fraction}
        more["sam.rho"] = 0.0  # What is read is the same.
        config = encoded_config(tmp_path, **more)
        run(config, tmp_path / f"run{i}")
        results.append(runs.checkpoint_values(tmp_path / f"run{i}"))
    held, streamed = results
    for name, value in held.items():
        if "seconds" not in name:
            np.testing.assert_array_equal(value, streamed[name], err_msg=name)


def foreign_config(tmp_path, how, folder):
    config = runs.small_config(
        tmp_path,
        **{
            "data.name": how.name,
            "data.dir": str(folder),
            "data.files.train": how.patterns["train"],
            "data.files.test": how.patterns["test"],
            "data.features.image": how.names.image,
            "data.features.label": how.names.label,
            "data.features.label_offset": how.names.label_offset,
            "data.num_classes": how.num_classes,
            "data.image_size": 8,
            "data.validation_examples": 8,
            "num_epochs": 1,
        },
    )
    runs.save_model(config.model.name, classes=how.num_classes)
    return config


@pytest.mark.slow
def test_a_run_on_files_of_others(tmp_path):
    names = ("train-{:05d}-of-{:05d}", "validation-{:05d}-of-{:05d}")
    keys = (foreign_sets.IMAGENET.image, foreign_sets.IMAGENET.label)
    folder = foreign_sets.write(tmp_path / "theirs", names, keys, first=1)
    config = foreign_config(tmp_path, foreign_sets.CLASSIC, folder)
    result = run(config, tmp_path / "run")
    assert np.isfinite(result["test_loss"])
    inputs = json.loads((tmp_path / "run" / "inputs.json").read_text())
    assert inputs["data.dir"] == dataset.read_manifest(config).digest()


@pytest.mark.slow
def test_a_corrupt_record_ends_a_run_in_one_line(tmp_path, monkeypatch):
    # As if the set were large.
    monkeypatch.setattr("sam_pod.data.input.opening.VERIFY_BYTES", 0)
    config = encoded_config(tmp_path, **{"data.memory_fraction": 0.0})
    data = dataset.load(config)
    path, start, _ = data.splits(20)["train"].reader.records.place(50)
    with open(path, "r+b") as file:
        file.seek(start + 100)
        value = file.read(1)[0] ^ 1
        file.seek(start + 100)
        file.write(bytes([value]))
    with pytest.raises(errors.UserError) as caught:
        run(config, tmp_path / "run")
    assert f"at byte {start} of {path}, is corrupt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_an_image_that_does_not_decode_ends_a_run_in_one_line(tmp_path, fraction):
    images = [*IMAGES[:60], b"\xff\xd8\xff and no more", *IMAGES[61:100]]
    sets.write(tmp_path / "encoded", images, tests=IMAGES[100:])
    config = encoded_config(tmp_path, **{"data.memory_fraction": fraction})
    with pytest.raises(errors.UserError, match=r"Example 60 of the train.*no image"):
        run(config, tmp_path / "run")


def test_the_channels_on_which_a_run_decided_hold_when_it_continues(tmp_path):
    config = runs.small_config(tmp_path)
    for decisions in (None, {}, {"data.channels": 0}):
        assert dataset.as_decided(config, decisions).data.channels == 0
    assert dataset.as_decided(config, {"data.channels": 1}).data.channels == 1
    assert config.data.channels == 0
    config.data.channels = 3
    assert dataset.as_decided(config, {"data.channels": 1}).data.channels == 3
    with pytest.raises(errors.UserError, match=r"decided to be '2'; it must be 0, 1"):
        dataset.as_decided(config, {"data.channels": 2})
