"""How the examples of a set are stored, and the shape that their images are given."""

import dataclasses

import numpy as np

from sam_pod import errors
from sam_pod.data.pictures import decoding
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.prepare import noise as noise_lib
from sam_pod.data.stored import grey, records


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardRules:
    """How examples are stored, and what they must fit."""

    encoding: str  # 'raw' or 'encoded'.
    image_shape: tuple[int, int, int]  # (H, W, C); (0, 0, C) for encoded images.
    image_size: int  # Images become squares of that size; 0: they stay as they are.
    num_classes: int
    noise: noise_lib.Noise | None
    place: str  # The source's path.
    decoded_channels: int  # The channels of images as the source has them.
    makes_grey: bool = False  # Colours become grey, where images are stored so.
    pictures: rules_lib.PictureRules = rules_lib.DEFAULT


def fitted(item: records.Item, image: np.ndarray, rules: ShardRules) -> np.ndarray:
    """Return the pixels of an item in the shape in which they are stored.

    Raises:
        UserError: they have none that the others have, or are colours that nobody
            wanted grey.
    """
    shape = rules.image_shape
    if image.dtype == np.uint8 and image.ndim == 3:
        if rules.image_size:
            image = decoding.resize(image, rules.image_size)
        if (image.shape[2], shape[2]) == (3, 1) and not rules.makes_grey:
            raise errors.UserError(
                f"{item.key} in {rules.place} has colours, and the first image is "
                "grey: --channels=3 stores all in colours, --channels=1 makes all grey."
            )
        if {image.shape[2], shape[2]} == {1, 3}:
            image = grey.array(image, shape[2])
    fits = image.shape == shape or (
        image.shape[-1] == shape[2] and rules.encoding == "encoded"
    )
    if image.dtype != np.uint8 or image.ndim != 3 or not fits:
        raise errors.UserError(
            f"{item.key} in {rules.place} is {image.dtype} {_by(image.shape)}; every "
            f"image must be uint8 {_by(shape)}, as the first. Images of different "
            "sizes are kept as they are with --encoding=encoded and made squares with "
            "--image_size=N."
        )
    return image


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
