import numpy as np
import pytest

from sam_pod.data.pictures import pixel_sums


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (70_000, 2, 3), (300, 400, 3)])
def test_mean_and_deviation_are_those_of_all_pixels(shape):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8)]
    sums = pixel_sums.PixelSums()
    for image in images:
        sums.add(image)
    pixels = np.concatenate([i.reshape(-1, shape[2]) for i in images]).astype(int)
    assert sums.count == len(pixels)
    assert sums.sums == pixels.sum(axis=0).tolist()
    assert sums.squares == (pixels**2).sum(axis=0).tolist()
    mean, std = sums.mean_and_std()
    np.testing.assert_allclose(mean, pixels.mean(axis=0) / 255, rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=0) / 255, rtol=1e-10)


def test_parts_are_merged_in_any_order():
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    whole, halves = pixel_sums.PixelSums(), []
    for image in images:
        whole.add(image)
    for part in (images[2:], images[:2], images[:0]):
        halves.append(pixel_sums.PixelSums())
        for image in part:
            halves[-1].add(image)
    merged = pixel_sums.PixelSums()
    for half in halves:
        merged.merge(half)
    assert merged == whole
