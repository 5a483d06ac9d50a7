"""Numbers that are an image without any encoding."""

import numpy as np

from sam_pod import errors


def as_image(found: np.ndarray, place: str, name: str) -> np.ndarray:
    """Return numbers as an image, uint8 `[H, W, C]`.

    Args:
        found: Numbers, `[H, W]`, `[H, W, 1 or 3]` or else `[1 or 3, H, W]`.
        place: The place that they come from, for an error.
        name: Their name there.

    Raises:
        UserError: other shapes, or numbers that are no whole ones from 0 to 255, or
            that are fractions of which none is between 0 and 1.
    """
    if found.ndim == 2:
        found = found[..., np.newaxis]
    if found.ndim == 3 and found.shape[0] in (1, 3) and found.shape[2] not in (1, 3):
        found = np.moveaxis(found, 0, -1)
    if found.ndim != 3 or found.shape[2] not in (1, 3):
        raise errors.UserError(
            f"{place} has numbers of shape {found.shape} in {name!r}; pixels must be "
            "[H, W], [H, W, 1 or 3] or [1 or 3, H, W]."
        )
    is_float = found.dtype.kind == "f"
    if is_float and not np.isfinite(found).all():
        raise errors.UserError(
            f"{place} has pixels that are null or no finite numbers in {name!r}: give "
            "each a whole number from 0 to 255, or leave the example out."
        )
    image = found.astype(np.uint8) if found.dtype != np.uint8 else found
    is_of_ones = is_float and found.size and found.max() == 1
    if image is not found and (is_of_ones or not np.array_equal(image, found)):
        raise errors.UserError(
            f"{place} has numbers from {found.min():g} to {found.max():g} in "
            f"{name!r}; pixels must be whole numbers from 0 to 255: scale them to that."
        )
    return np.ascontiguousarray(image)
