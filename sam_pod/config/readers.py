"""Keys that only some choices of another key read: elsewhere they must be untouched."""

from collections.abc import Mapping

import ml_collections

from sam_pod import errors
from sam_pod.config import keys as config_lib

# By a key: the values of the key that chooses which read it.
ReadBy = Mapping[str, tuple[str, ...]]

# Only keys that were added with their rule: an older workdir may have others set.
OF_SCHEDULES: ReadBy = {
    "schedule.decay_factor": ("step", "exponential"),
    "schedule.decay_epochs": ("exponential",),
    "schedule.staircase": ("exponential",),
    "schedule.boundaries": ("step",),
    "schedule.power": ("polynomial",),
    "schedule.end": ("polynomial",),
}
OF_OPTIMIZERS: ReadBy = {
    "optimizer.rmsprop_decay": ("rmsprop",),
    "optimizer.rmsprop_start": ("rmsprop",),
    "optimizer.trust": ("lars",),
}


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse a key that nobody reads and that is not at its default.

    Raises:
        UserError: with the key, who reads it, and the way on.
    """
    flat, default = map(config_lib.flatten, (config, config_lib.defaults()))
    for chooser, read_by in (
        ("schedule.name", OF_SCHEDULES),
        ("optimizer.name", OF_OPTIMIZERS),
    ):
        for key, names in read_by.items():
            if flat[key] != default[key] and flat[chooser] not in names:
                readers = " and ".join(map(repr, names))
                raise errors.UserError(
                    f"`{key}` is {flat[key]!r}, which `{chooser}` {readers} "
                    f"read{'s' * (len(names) == 1)}, and not {flat[chooser]!r}; leave "
                    f"it at {default[key]!r}, or change `{chooser}`."
                )
