"""What the table of models says of each."""

import dataclasses
from collections.abc import Callable

import keras

from sam_pod import errors


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of this package."""

    # (image_shape, num_classes, dtype_policy, and what it `reads` by name) -> model.
    build: Callable[..., keras.Model]
    least: int  # Least height and width of an image.
    patch: int = 1  # What divides both.
    reads: tuple[str, ...] = ()  # The keys of section `model` that are its own.
    of: str = ""  # Where it is from; 'likewise' for what the row above is of.
    image_shape: tuple[int, int, int] = (32, 32, 3)  # That its paper has it for.
    num_classes: int = 10

    def check(self, name: str, image_shape: tuple[int, int, int]) -> None:
        """Refuse images that the network does not take.

        Raises:
            UserError: with the least size, or the next that fit.
        """
        height, width, _ = image_shape
        if min(height, width) < self.least:
            raise errors.UserError(
                f"`model.name` {name!r} takes images of at least {self.least} x "
                f"{self.least} pixels; the data's are {height} x {width}: set "
                f"`data.image_size` to {self.least} or above, or take another model."
            )
        if height % self.patch or width % self.patch:
            near = max(round(min(height, width) / self.patch), 1) * self.patch
            raise errors.UserError(
                f"`model.name` {name!r} cuts images into patches of {self.patch} x "
                f"{self.patch} pixels; the data's are {height} x {width}: set "
                f"`data.image_size` to a multiple of {self.patch}, such as {near}."
            )
