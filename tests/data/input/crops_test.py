"""Boxes against a plain loop over images, and what they are distributed like."""

import math

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import crops


def one_box(height, width, uniform):
    """Try as torchvision does, one after the other, in doubles."""
    for attempt in range(10):
        area = (0.08 + 0.92 * uniform[2 * attempt]) * height * width
        low, high = math.log(3 / 4), math.log(4 / 3)
        aspect = math.exp(low + (high - low) * uniform[2 * attempt + 1])
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            break
    else:
        h, w = height, width
        if width / height < 3 / 4:
            h = max(min(round(width / (3 / 4)), height), 1)
        elif width / height > 4 / 3:
            w = max(min(round(height * (4 / 3)), width), 1)
    y = min(int(uniform[-2] * (height - h + 1)), height - h)
    x = min(int(uniform[-1] * (width - w + 1)), width - w)
    return y, x, h, w


def draw(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, crops.NUM_DRAWS), np.float32)


def test_random_boxes_equal_a_loop_and_stay_inside():
    rng = np.random.default_rng(1)
    heights, widths = rng.integers(1, 700, (2, 2000), dtype=np.int32)
    uniform = draw(2000)
    uniform[:20] = np.nextafter(np.float32(1), np.float32(0))
    uniform[20:40] = 0
    shapes = np.stack([heights, widths], 1)
    boxes = crops.random_box(shapes, crops.tries(uniform)).numpy()
    y, x, h, w = boxes.T
    assert boxes.dtype == np.int32
    assert (y >= 0).all()
    assert (x >= 0).all()
    assert (h > 0).all()
    assert (w > 0).all()
    assert (y + h <= heights).all()
    assert (x + w <= widths).all()
    expected = [
        one_box(int(a), int(b), u.astype(float).tolist())
        for a, b, u in zip(heights, widths, uniform, strict=True)
    ]
    differs = (boxes != np.array(expected)).any(1)
    # Single precision may round a size the other way, once in a long while.
    assert differs.mean() < 0.002
    fallback = widths / heights < 3 / 8
    assert fallback.sum() > 100


@pytest.mark.parametrize("size", [(1000, 100), (100, 1000), (1, 1), (1, 50)])
def test_if_no_try_fits_the_largest_central_shape_is_taken(size):
    uniform = draw(1)[0]
    uniform[0:-2:2] = 1 - 1e-6  # The whole area: never of an allowed aspect.
    box = crops.random_box(tf.constant(size), crops.tries(uniform)).numpy().tolist()
    assert box == list(one_box(*size, uniform.astype(float).tolist()))
    assert (
        box[2:]
        == {
            (1000, 100): [133, 100],
            (100, 1000): [100, 133],
            (1, 1): [1, 1],
            (1, 50): [1, 1],
        }[size]
    )


def test_areas_and_aspects_are_even():
    shapes = tf.fill([20_000, 2], 1000)
    boxes = crops.random_box(shapes, crops.tries(draw(20_000)))
    y, x, h, w = boxes.numpy().T.astype(float)
    area, aspect = h * w / 1e6, np.log(w / h)
    np.testing.assert_allclose((area.min(), area.max()), (0.08, 1), atol=0.02)
    np.testing.assert_allclose(
        np.quantile(aspect, [0, 1]), np.log(crops.ASPECT), atol=5e-3
    )
    # Below 3/4 of the area every aspect fits: there, both are uniform.
    small = area < 0.75
    deciles = np.linspace(0.08, 0.75, 11)
    np.testing.assert_allclose(
        np.histogram(area[small], deciles)[0] / small.sum(), 0.1, atol=0.012
    )
    assert abs(aspect[small].mean()) < 0.01
    assert abs(np.corrcoef(y / (1000 - h + 1), x / (1000 - w + 1))[0, 1]) < 0.05


def test_central_box_is_the_middle_224_of_256():
    sizes = {
        (256, 256): (16, 16, 224, 224),
        (500, 375): (86, 24, 328, 328),
        (375, 500): (24, 86, 328, 328),
        (1, 9): (0, 4, 1, 1),
    }
    boxes = crops.central_box(np.array(list(sizes), np.int32))
    np.testing.assert_array_equal(boxes, list(sizes.values()))
    whole = crops.central_box(tf.constant([30, 40]), 1.0)
    np.testing.assert_array_equal(whole, [0, 5, 30, 30])


def test_boxes_compile_inside_a_dataset():
    @tf.autograph.experimental.do_not_convert
    def box(shape):
        draws = tf.random.stateless_uniform([crops.NUM_DRAWS], shape)
        return crops.random_box(shape, crops.tries(draws))

    shapes = tf.data.Dataset.from_tensor_slices([[480, 640], [33, 65]])
    for (y, x, h, w), (height, width) in zip(shapes.map(box), shapes, strict=True):
        assert 0 <= y <= height - h
        assert 0 <= x <= width - w
