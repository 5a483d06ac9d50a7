"""What changed since the manifest was written is refused, in small sets and large."""

import dataclasses
import os

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.input import opening
from sam_pod.data.stored import framing, manifest, offsets
from tests.data import sets

IMAGES = [sets.noisy(i) for i in range(20)]
SIZES = pytest.mark.parametrize("is_large", [False, True])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def open_set(folder, monkeypatch, is_large):
    monkeypatch.setattr(opening, "VERIFY_BYTES", 0 if is_large else 1 << 30)
    return opening.read(str(folder), manifest.read(str(folder)))


def refusal(folder, monkeypatch, is_large):
    with pytest.raises(errors.UserError) as caught:
        open_set(folder, monkeypatch, is_large)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@SIZES
@pytest.mark.parametrize("version", [1, 2])
def test_offsets_are_those_of_a_scan(tmp_path, monkeypatch, is_large, version):
    made = sets.write(tmp_path / "set", IMAGES, version=version)
    found = open_set(tmp_path / "set", monkeypatch, is_large)
    expected = sets.all_offsets(tmp_path / "set", made)
    assert found.keys() == expected.keys()
    for split, arrays in expected.items():
        for one, other in zip(found[split], arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_large_set_with_indexes_is_not_scanned(tmp_path, monkeypatch):
    sets.write(tmp_path / "set", IMAGES)
    monkeypatch.setattr(framing, "scan", None)
    open_set(tmp_path / "set", monkeypatch, is_large=True)


def test_a_large_set_without_indexes_is_scanned_once(tmp_path, monkeypatch):
    sets.write(tmp_path / "set", IMAGES, version=1)
    first = open_set(tmp_path / "set", monkeypatch, is_large=True)
    monkeypatch.setattr(framing, "scan", None)
    again = open_set(tmp_path / "set", monkeypatch, is_large=True)
    np.testing.assert_array_equal(first["train"][1], again["train"][1])


@SIZES
@pytest.mark.parametrize("version", [1, 2])
def test_shards_that_changed_are_refused(tmp_path, monkeypatch, is_large, version):
    made = sets.write(tmp_path / "set", IMAGES, version=version)
    open_set(tmp_path / "set", monkeypatch, is_large)
    path = tmp_path / "set" / made.splits["train"][1].file
    content = path.read_bytes()
    path.write_bytes(content + content[:-1])
    assert str(path) in refusal(tmp_path / "set", monkeypatch, is_large)
    # A change of the same size, at any time; a large one with an index is found
    # out where it is read.
    if version == 1 or not is_large:
        flipped = bytearray(content)
        flipped[40] ^= 1
        path.write_bytes(flipped)
        assert f"{path} is corrupt at byte 0" in refusal(
            tmp_path / "set", monkeypatch, is_large
        )
    path.unlink()
    assert f"{path} is missing" in refusal(tmp_path / "set", monkeypatch, is_large)


@SIZES
def test_an_index_that_changed_is_refused(tmp_path, monkeypatch, is_large):
    made = sets.write(tmp_path / "set", IMAGES)
    path = tmp_path / "set" / offsets.file_name(made.splits["train"][0].file)
    offsets.write(str(path), [0, 30], 90)
    text = refusal(tmp_path / "set", monkeypatch, is_large)
    assert f"{path} is another file than the one prepared" in text
    os.remove(path)
    assert f"{path} is missing" in refusal(tmp_path / "set", monkeypatch, is_large)


def test_the_kept_scan_of_another_manifest_does_not_count(tmp_path, monkeypatch):
    sets.write(tmp_path / "set", IMAGES, version=1)
    open_set(tmp_path / "set", monkeypatch, is_large=True)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("*.tfrecord")}
    made = sets.write(tmp_path / "set", [255 - i for i in IMAGES], version=1)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    path = tmp_path / "set" / made.splits["train"][0].file
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times[path], times[path]))
    assert "corrupt" in refusal(tmp_path / "set", monkeypatch, is_large=True)


def test_an_index_of_more_examples_than_the_manifest_says_is_refused(
    tmp_path, monkeypatch
):
    made = sets.write(tmp_path / "set", IMAGES)
    first, *others = made.splits["train"]
    first = dataclasses.replace(first, num_examples=first.num_examples - 1)
    edited = dataclasses.replace(
        made, splits={**made.splits, "train": (first, *others)}
    )
    (tmp_path / "set" / manifest.FILE_NAME).write_text(edited.to_json())
    line = refusal(tmp_path / "set", monkeypatch, is_large=True)
    assert "is of 7 examples, manifest.json says 6." in line
