"""Exact mean and deviation per channel, from integer sums of bytes."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class PixelSums:
    """How many pixels there were, and per channel their sum and sum of squares."""

    count: int = 0
    sums: list[int] = dataclasses.field(default_factory=list)
    squares: list[int] = dataclasses.field(default_factory=list)

    def add(self, image: np.ndarray) -> None:
        """Take in a uint8 image `[H, W, C]`."""
        height, width, channels = image.shape
        # A square fits 16 bits; 65,000 rows of them fit 32: eight times as fast as
        # sums of 64 bits.
        pixels = image.reshape(height, -1).astype(np.uint16)
        self.merge(
            PixelSums(
                height * width,
                _by_channel(pixels, channels),
                _by_channel(pixels * pixels, channels),
            )
        )

    def merge(self, other: "PixelSums") -> None:
        """Take in the sums of another."""
        self.count += other.count
        # Python's integers do not overflow where the squares are multiplied.
        self.sums = _added(self.sums, other.sums)
        self.squares = _added(self.squares, other.squares)

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return both for pixels in [0, 1]."""
        count = self.count
        both = zip(self.sums, self.squares, strict=True)
        return (
            tuple(s / (255 * count) for s in self.sums),
            tuple(math.sqrt(count * q - s * s) / (255 * count) for s, q in both),
        )


def _by_channel(rows: np.ndarray, channels: int) -> list[int]:
    total = np.zeros(rows.shape[1], np.int64)
    for start in range(0, len(rows), 65_000):
        total += np.add.reduce(rows[start : start + 65_000], 0, dtype=np.uint32)
    return [int(value) for value in total.reshape(-1, channels).sum(axis=0)]


def _added(ours: list[int], theirs: list[int]) -> list[int]:
    if not ours or not theirs:  # There were no pixels.
        return ours or theirs
    return [a + b for a, b in zip(ours, theirs, strict=True)]
