"""The range in which a network is fed its images."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from sam_pod.data import augment

UNIT, SYMMETRIC, BYTES, STANDARDIZED = "unit", "symmetric", "bytes", "standardized"
NAMES = (UNIT, SYMMETRIC, BYTES, STANDARDIZED)
# The factor and the shift that images in [0, 1] get.
_OF_UNIT = {UNIT: (1, 0), SYMMETRIC: (2, -1), BYTES: (255, 0), STANDARDIZED: (1, 0)}


@dataclasses.dataclass(frozen=True)
class Range:
    """A range by its name, with the data's statistics if it needs them."""

    name: str = UNIT
    mean: Sequence[float] = ()  # By channel, of images in [0, 1].
    std: Sequence[float] = ()

    @property
    def text(self) -> str:
        """What a line of the log calls it."""
        return {
            UNIT: "[0, 1]",
            SYMMETRIC: "[-1, 1]",
            BYTES: "[0, 255]",
            STANDARDIZED: "the data's mean 0 and deviation 1",
        }[self.name]

    @property
    def scaling(self) -> str:
        """What happens to uint8 pixels, in words, before any standardization."""
        return {
            SYMMETRIC: "uint8 to float32, divided by 127.5, minus 1",
            BYTES: "uint8 to float32",
        }.get(self.name, "uint8 to float32, divided by 255")

    @property
    def of_bytes(self) -> tuple[float, float]:
        """The factor and the shift that uint8 pixels get."""
        factor, shift = _OF_UNIT[self.name]
        return factor / 255, float(shift)

    def of_unit(self, images: tf.Tensor) -> tf.Tensor:
        """Return images of [0, 1] in this range."""
        factor, shift = _OF_UNIT[self.name]
        if (factor, shift) != (1, 0):
            return images * float(factor) + float(shift)
        if self.name == STANDARDIZED:
            return augment.standardize(images, self.mean, self.std)
        return images

    def of_uint8(self, images: tf.Tensor) -> tf.Tensor:
        """Return images as they are stored in this range."""
        if self.name == BYTES:  # Whole numbers stay whole.
            return tf.cast(images, tf.float32)
        return self.of_unit(augment.to_float(images))

    def to_unit(self, images: tf.Tensor) -> tf.Tensor:
        """Return images of this range in [0, 1]."""
        factor, shift = _OF_UNIT[self.name]
        if self.name == STANDARDIZED:
            return images * tf.constant(self.std) + tf.constant(self.mean)
        return (images - float(shift)) / float(factor)
