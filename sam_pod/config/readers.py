"""Keys that only some choices of another key read: elsewhere they must be untouched."""

import ml_collections

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rows

# The key of a section that chooses what reads the others; and that choice in words.
_CHOICES = {
    "sam.variant": "the variant",
    "model.name": "the network",
    "schedule.name": "`schedule.name`",
    "optimizer.name": "`optimizer.name`",
}


def check(config: ml_collections.ConfigDict, chooser: str) -> None:
    """Refuse a key that what is chosen does not read, where it is not at its default.

    Args:
        config: The config.
        chooser: The key that chooses in its section, such as 'sam.variant'.

    Raises:
        UserError: with the key, who reads it, and the way on.
    """
    flat, section = config_lib.flatten(config), f"{chooser.partition('.')[0]}."
    chosen = flat[chooser]
    for row in rows.ROWS:
        is_read = not row.readers or chosen in row.readers
        if not row.name.startswith(section) or is_read:
            continue
        if flat[row.name] != row.default:
            readers = " and ".join(map(repr, row.readers))
            raise errors.UserError(
                f"`{row.name}` is {flat[row.name]!r}, which `{chooser}` {readers} "
                f"read{'s' * (len(row.readers) == 1)}, and not {chosen!r}; leave it "
                f"at {row.default!r}, or change {_CHOICES[chooser]}."
            )
