"""Random parts of images: those that are drawn, on any number of hosts."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import crops, pipeline
from tests.data import sets
from tests.data.input.opened import TEST, TRAIN, open_splits, take, training


def drawn(step, size=14):
    """Return what decides the parts of a step's batch: `[size, NUM_DRAWS + 1]`."""
    key = tf.constant([3 ^ pipeline._PARTS_STREAM, step], tf.int64)
    return tf.random.stateless_uniform([size, crops.NUM_DRAWS + 1], key)


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_random_parts_are_those_that_are_drawn(tmp_path, kind):
    """The image's pixels say where they are."""
    rows, columns = np.mgrid[0:40, 0:50].astype(np.uint8)
    place = np.stack([rows * 4, columns * 4, np.zeros_like(rows)], -1)
    image = place if kind == "raw" else sets.jpeg(place)
    splits = open_splits(
        tmp_path, [image] * (TRAIN + TEST), image_size=16, random_parts=True
    )
    batches = take(training(splits), 3)
    for step, (images, _) in enumerate(batches):
        shapes = tf.constant([[40, 50]] * 14)
        boxes = crops.random_box(shapes, crops.tries(drawn(step)[:, :-1])).numpy()
        for pixels, (y, x, height, width) in zip(images, boxes, strict=True):
            for channel, first, size in ((0, y, height), (1, x, width)):
                middle = 4 * (first + (size - 1) / 2)
                assert abs(pixels[..., channel].mean() - middle) < 2.5
    # Every example and every epoch its own part.
    flat = np.concatenate([images for images, _ in batches]).reshape(42, -1)
    assert len(np.unique(flat, axis=0)) == 42


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_random_parts_are_mirrored_by_chance_and_nothing_else_of_them_changes(
    tmp_path, kind
):
    make = sets.noisy if kind == "raw" else lambda *a: sets.jpeg(sets.noisy(*a))
    images = [make(i, (20, 24)) for i in range(TRAIN + TEST)]
    plain, mirrored = (
        open_splits(tmp_path, images, image_size=8, random_parts=True, mirrors=mirrors)
        for mirrors in (False, True)
    )
    both = zip(take(training(plain), 3), take(training(mirrored), 3), strict=True)
    for step, ((images, labels), (others, other_labels)) in enumerate(both):
        chosen = drawn(step)[:, -1].numpy() < 0.5
        assert 0 < chosen.sum() < 14
        expected = np.where(chosen[:, None, None, None], images[:, :, ::-1], images)
        np.testing.assert_array_equal(others, expected)
        np.testing.assert_array_equal(other_labels, labels)
    # Evaluation mirrors nothing.
    seen = [
        take(pipeline.evaluation(splits["test"], global_batch_size=TEST), 1)[0][0]
        for splits in (plain, mirrored)
    ]
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("hosts", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_random_parts_do_not_depend_on_hosts_or_on_where_one_starts(tmp_path, hosts):
    images = [sets.jpeg(sets.noisy(i, (20, 24))) for i in range(TRAIN + TEST)]
    splits = open_splits(
        tmp_path, images, image_size=8, random_parts=True, mirrors=True
    )
    whole = [images for images, _ in take(training(splits), 4)]
    shares = [
        take(training(splits, 1), 3, hosts=hosts, host=host, replicas=hosts)
        for host in range(hosts)
    ]
    for step in range(3):
        parts = np.concatenate([share[step][0] for share in shares])
        np.testing.assert_array_equal(parts, whole[step + 1])


def test_where_training_sees_parts_evaluation_sees_the_middle(tmp_path):
    image = np.zeros((16, 32, 3), np.uint8)
    image[1:15, 9:23] = 200  # 14 is 0.875 of 16.
    images = [sets.png(image)] * (TRAIN + TEST)
    for random_parts in (True, False):
        splits = open_splits(tmp_path, images, image_size=14, random_parts=random_parts)
        seen = take(pipeline.evaluation(splits["test"], global_batch_size=2), 1)[0][0]
        assert (seen == 200).all() == random_parts
