"""Keys of section `model` go with the networks that read them."""

import ml_collections

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rows


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse a key that another network reads, where it is not at its default.

    Raises:
        UserError: with the key, and who reads it.
    """
    flat, name = config_lib.flatten(config), config.model.name
    for row in rows.ROWS:
        is_read = not row.models or name in row.models
        if not is_read and flat[row.name] != row.default:
            raise errors.UserError(
                f"`{row.name}` is {flat[row.name]!r}, which the networks "
                f"{', '.join(row.models)} read, and not `model.name` {name!r}; leave "
                f"it at {row.default!r}, or change the network."
            )
