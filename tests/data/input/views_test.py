"""A part of an image, scaled: equal to decoding all of it and doing it by hand."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from sam_pod.data.input import crops, views
from tests.data import sets

ENCODED = views.Stored("encoded", (0, 0, 3))


def view(content, stored, box, size):
    made = tf.function(lambda content: views.view(content, stored, box, size))
    return made(tf.constant(content)).numpy()


def part(shape):
    del shape
    return tf.constant([3, 2, 10, 16])


def test_an_image_is_mirrored_where_it_says_so():
    image = sets.noisy(0, (5, 6))
    mirror = tf.function(views.mirror)
    for mirrored, expected in ((True, image[:, ::-1]), (False, image)):
        found = mirror(tf.constant(image), tf.constant(mirrored))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("encode", [sets.png, sets.jpeg, None])
def test_a_part_is_that_of_the_whole_image(encode):
    image = sets.noisy(0, (20, 24))
    if encode is None:
        content, stored = image.tobytes(), views.Stored("raw", image.shape)
    else:
        content, stored = encode(image), ENCODED
        image = tf.io.decode_image(content, 3).numpy()
    if encode is sets.jpeg:  # By the method that gives the same everywhere.
        image = tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE").numpy()
    expected = tf.image.resize(image[3:13, 2:18], [8, 8]).numpy()
    found = view(content, stored, part, 8)
    assert found.dtype == np.uint8
    expected = np.floor(expected + 0.5)
    if encode is sets.jpeg:  # At its border the chroma has no neighbours to blend.
        found, expected = found[1:-1, 1:-1], expected[1:-1, 1:-1]
    np.testing.assert_array_equal(found, expected)


def test_cubic_curves_are_pillows_where_it_enlarges():
    """Where it shrinks, Pillow looks at more pixels; TensorFlow's models do not."""

    def cubic(image):
        stored = views.Stored("raw", image.shape)
        made = tf.function(
            lambda content: views.view(content, stored, part, 24, is_bicubic=True)
        )
        return made(tf.constant(image.tobytes())).numpy()

    noisy = sets.noisy(0, (20, 24))
    soft = 64 + noisy // 2  # Pillow cuts overshoots off in rows before columns.
    found, cut = cubic(soft), PIL.Image.fromarray(soft[3:13, 2:18])
    expected = np.asarray(cut.resize((24, 24), PIL.Image.Resampling.BICUBIC), int)
    assert np.abs(found.astype(int) - expected).max() <= 1
    straight = view(soft.tobytes(), views.Stored("raw", soft.shape), part, 24)
    assert np.abs(found.astype(int) - straight).max() > 10
    # What overshoots is cut off and does not begin again at the other end.
    steps = np.repeat(np.uint8([0] * 12 + [255] * 12)[None, :, None], 20, 0)
    ramp = cubic(np.repeat(steps, 3, -1))[0, :, 0].astype(int)
    assert (np.diff(ramp) >= 0).all() and (ramp[0], ramp[-1]) == (0, 255)


def test_what_fits_is_not_touched():
    image = sets.noisy(0, (12, 12))
    whole = crops.central_box(tf.constant([12, 12]), 1.0)
    np.testing.assert_array_equal(
        view(sets.png(image), ENCODED, lambda shape: whole, 12), image
    )


def test_the_middle_of_a_gradient_is_its_middle():
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 20, 0)
    image = np.repeat(ramp, 3, -1)
    found = view(sets.png(image), ENCODED, crops.central_box, 10)
    assert abs(found.mean() - 31.5) < 0.6
    # 17 of 64 columns, 0.875 of the 20 rows.
    assert abs(int(found[0, -1, 0]) - int(found[0, 0, 0]) - 17 * 9 / 10) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_that_are_asked_for(channels):
    image = sets.noisy(0, (9, 9))
    for encode in (sets.png, sets.jpeg):
        stored = views.Stored("encoded", (0, 0, channels))
        assert view(encode(image), stored, crops.central_box, 5).shape == (
            5,
            5,
            channels,
        )


def test_what_is_no_image_fails():
    with pytest.raises(tf.errors.InvalidArgumentError):
        view(b"no image", ENCODED, crops.central_box, 4)
