"""Grey and colours, against Pillow; and read the same in every way there is."""

import dataclasses

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline, reading
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images as images_lib
from sam_pod.data.stored import grey
from tests.data import made, sets
from tests.data.input.opened import take


def pillow(image):
    return np.asarray(PIL.Image.fromarray(image).convert("L"))[..., None]


def test_grey_is_what_pillow_makes_in_both_forms():
    image = sets.noisy(1, (64, 50))
    for found in (grey.array(image, 1), grey.tensor(tf.constant(image), 1).numpy()):
        np.testing.assert_array_equal(found, pillow(image))
        assert found.dtype == np.uint8
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for colored in (grey.array(values, 3), grey.tensor(tf.constant(values), 3).numpy()):
        np.testing.assert_array_equal(colored, np.repeat(values, 3, -1))
        np.testing.assert_array_equal(grey.array(colored, 1), values)


def test_a_mean_of_grey_is_that_of_the_pixels():
    images = np.stack([sets.noisy(i) for i in range(9)])
    (found,) = grey.statistic(images.mean((0, 1, 2)) / 255, 1)
    assert abs(found - grey.array(images, 1).mean() / 255) < 0.5 / 255
    assert grey.statistic((0.5, 0.5, 0.5), 1) == (0.5,)
    assert grey.statistic((0.5,), 3) == (0.5,) * 3


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize(
    "size", [5, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 8))]
)
def test_a_set_is_read_in_grey_in_every_way(tmp_path, encoded, is_held, size):
    if encoded and not size:
        return
    pixels = [sets.noisy(i) for i in range(12)]
    images = [sets.png(image) for image in pixels] if encoded else pixels
    manifest = sets.write(tmp_path, images)
    seen = {}
    for channels in (0, 1):
        view = reading.View(
            image_size=size,
            channels=channels,
            is_held=is_held,
            offsets=sets.all_offsets(tmp_path, manifest),
        )
        test = pipeline.splits(str(tmp_path), manifest, 3, view)["test"]
        batch = pipeline.evaluation(test, global_batch_size=7)
        seen[channels] = take(batch, 1)[0][0]
    assert seen[1].shape == (7, size or 8, size or 8, 1)
    np.testing.assert_array_equal(seen[1], grey.array(np.asarray(seen[0]), 1))
    if size in (0, 8):
        np.testing.assert_array_equal(seen[1], [pillow(image) for image in pixels[:7]])


def test_prepared_in_grey_and_back(tmp_path):
    counts = {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 1}
    source = images_lib.read(str(made.tree(tmp_path / "source", counts)))
    options = shards.ShardOptions(channels=1)
    written = shards.write_with(source, str(tmp_path / "set"), 1, options).manifest
    assert written.image_shape == (6, 4, 1)
    pixels = np.stack([pillow(made.image(seed)) for seed in range(1, 6)])
    np.testing.assert_allclose(written.mean, pixels.mean() / 255, rtol=1e-12)
    np.testing.assert_allclose(written.std, pixels.std() / 255, rtol=1e-9)
    for wrong in ({"channels": 2}, {"channels": 1, "encoding": "encoded"}):
        with pytest.raises(errors.UserError, match="`channels` is"):
            shards.write_with(
                source,
                str(tmp_path / "other"),
                options=dataclasses.replace(options, **wrong),
            )
