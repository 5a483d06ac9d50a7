import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.pictures import decoding
from tests.data import made


def images(count):
    return [made.image(i, (8, 6 + i % 3, 3)) for i in range(count)]


@pytest.mark.parametrize("count", [1, decoding.CHUNK, decoding.CHUNK + 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_many_at_a_time_are_what_each_is_by_itself(count, channels):
    contents = [made.jpeg(image) for image in images(count)]
    found = list(decoding.decode(contents, channels))
    assert len(found) == count
    for content, image in zip(contents, found, strict=True):
        alone = tf.io.decode_jpeg(content, channels, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(image, alone)


def test_what_cannot_be_decoded_is_none_and_the_others_are_there():
    contents = [made.png(image) for image in images(decoding.CHUNK)]
    contents[5], contents[60] = b"no image", contents[60][:-30]
    contents[7] = made.jpeg(images(1)[0])
    found = list(decoding.decode(contents, 3))
    assert [i for i, image in enumerate(found) if image is None] == [5, 60]
    np.testing.assert_array_equal(found[6], images(7)[6])


@pytest.mark.parametrize("shape", [(12, 30, 3), (30, 12, 1), (5, 4, 3), (8, 8, 3)])
def test_the_middle_is_cut_out_after_scaling(shape):
    height, width, channels = shape
    ramp = np.linspace(0, 250, width)[None, :, None] * np.ones((height, 1, channels))
    square = decoding.resize(np.rint(ramp).astype(np.uint8), 8)
    assert (square.shape, square.dtype) == ((8, 8, channels), np.uint8)
    # Seen from the middle, a ramp stays a ramp: of the part that is shown.
    shown = min(height, width) / width * 250
    ends = square[4, -1, 0] - int(square[4, 0, 0])
    assert ends == pytest.approx(shown * 7 / 8, abs=shown / 8)
    assert int(square[4, 0, 0]) + square[4, -1, 0] == pytest.approx(250, abs=3)


def test_a_square_of_the_right_size_stays_as_it_is():
    image = made.image(0, (8, 8, 3))
    np.testing.assert_array_equal(decoding.resize(image, 8), image)
