"""Mean and deviation that a manifest states are compared with the pixels."""

import dataclasses

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.inspect import pixel_check
from sam_pod.data.prepare import shards
from sam_pod.data.stored import manifest, records
from tests.data import sets

COUNT = 130


def images(make):
    return [make(sets.noisy(i, (6, 5))) for i in range(COUNT)]


def write(folder, encoding):
    def split(count):
        content = images(sets.png)[:count]
        items = [records.Item(x, i % 5, str(i)) for i, x in enumerate(content)]
        return records.SourceSplit(count, 1, lambda start, stop: items[start:stop])

    source = records.Source(
        name="images",
        classes=tuple("abcde"),
        kind="test",
        place="nowhere",
        fingerprint="",
        splits={"train": split(COUNT), "test": split(5)},
    )
    options = shards.ShardOptions(encoding=encoding)
    return shards.write_with(source, str(folder), 2, options).manifest


def line(made):
    check = pixel_check.PixelCheck(made)
    is_raw = made.image_encoding == "raw"
    for image in images(lambda x: x.tobytes() if is_raw else sets.png(x)):
        check.add(image)
    return check.line()


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_all_are_compared_exactly(tmp_path, encoding):
    made = write(tmp_path / "set", encoding)
    pixels = np.concatenate(images(lambda x: x.reshape(-1, 3))) / 255
    np.testing.assert_allclose(made.mean, pixels.mean(0), rtol=1e-9)
    assert line(made) == "Both agree with the pixels of all 130 training images."
    for name in ("mean", "std"):
        values = getattr(made, name)
        for wrong in (values[0] + 1e-5, float("nan")):
            other = dataclasses.replace(made, **{name: (wrong, *values[1:])})
            with pytest.raises(errors.UserError, match=f"`{name}` in manifest.json is"):
                line(other)


def test_of_many_encoded_images_some_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_check, "MAX_DECODED", 50)
    made = write(tmp_path / "set", "encoded")
    assert line(made) == "Both fit the pixels of 44 of 130 training images."
    other = dataclasses.replace(made, mean=(made.mean[0] + 0.1, *made.mean[1:]))
    with pytest.raises(errors.UserError, match="that of 44 of 130 training images is"):
        line(other)


def test_what_is_no_image_is_told(tmp_path):
    made = write(tmp_path / "set", "encoded")
    check = pixel_check.PixelCheck(made)
    check.add(b"no image")
    with pytest.raises(errors.UserError, match="1 of 1 training images that were"):
        check.line()


def test_the_manifest_of_an_older_version_has_no_digest_and_is_read(tmp_path):
    made = write(tmp_path / "set", "raw")
    path = tmp_path / "set" / manifest.FILE_NAME
    path.write_text(path.read_text().replace(str(made.mean[0]), "0.123"))
    with pytest.raises(errors.UserError, match="its `digest` is of another text"):
        manifest.read(tmp_path / "set")
    older = dataclasses.replace(made, schema_version=2, mean=(0.123, *made.mean[1:]))
    path.write_text(older.to_json())
    with pytest.raises(errors.UserError, match=r"`mean` in manifest\.json is 0\.1230"):
        line(manifest.read(tmp_path / "set"))
