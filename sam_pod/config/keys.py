"""The config: its defaults, what of it may change, its digest, its comparison.

Nothing here imports TensorFlow, so a bad config is refused in a moment.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from sam_pod import errors
from sam_pod.config import rows
from sam_pod.config.first_keys import FIRST_KEYS
from sam_pod.process import path_flags


def _names(change: str) -> frozenset[str]:
    return frozenset(row.name for row in rows.ROWS if row.change == change)


FREE_KEYS = _names(rows.FREE)
PLACE_KEYS = _names(rows.PLACE)
_NUMBER_OR_NAME = frozenset(row.name for row in rows.ROWS if row.is_number_or_name)
_KEYS = sorted(row.name for row in rows.ROWS)
PATH_KEYS = frozenset(row.name for row in rows.ROWS if row.is_path)
# What may change where --accept_change names it; 'replicas' stands for PLACE_KEYS.
ACCEPTABLE = (*sorted(_names(rows.ACCEPTED)), "replicas")


def defaults() -> ml_collections.ConfigDict:
    """Return every key with its default value."""
    config = ml_collections.ConfigDict()
    for row in rows.ROWS:
        section = config
        *parents, name = row.name.split(".")
        for parent in parents:
            if parent not in section:
                section[parent] = ml_collections.ConfigDict()
            section = section[parent]
        section[name] = row.default
    return config.lock()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `config` as one level of dotted keys, sorted.

    Raises:
        UserError: a placeholder of `ml_collections` that requires a value has none.
    """
    flat: dict[str, Any] = {}
    for key in config:
        try:
            value = config[key]
        except config_dict.RequiredValueError as error:
            raise errors.UserError(
                f"`{prefix}{key}` is a placeholder that requires a value: give it one, "
                "in the config."
            ) from error
        if isinstance(value, Mapping | ml_collections.ConfigDict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return dict(sorted(flat.items()))


def check_key(key: str, path: str = "") -> None:
    """Refuse a dotted key that no part of the trainer reads.

    Args:
        key: A name such as 'sam.rho'.
        path: The path of the file that has it, or '' for the command line.

    Raises:
        UserError: naming the nearest key that exists.
    """
    if key not in _KEYS:
        guess = errors.nearest(key, _KEYS) or errors.nearest(
            key.rpartition(".")[2], _KEYS
        )
        hint = f"; the nearest is `{guess}`" if guess else ""
        where = f" in {path}" if path else ""
        raise errors.UserError(f"Unknown config key `{key}`{where}{hint}.")


def lay_over_defaults(
    values: Mapping[str, Any] | ml_collections.ConfigDict, path: str
) -> ml_collections.ConfigDict:
    """Return the defaults with the values of the file `path` laid over them, locked.

    Raises:
        UserError: an unknown key, a wrong type.
    """
    config = defaults()
    try:
        flat = flatten(values)
    except RecursionError as error:
        raise errors.UserError(
            f"The config of {path} holds itself, or is nested too deeply; it must have "
            "sections with values."
        ) from error
    for key, value in flat.items():
        check_key(key, path)
        _set(config, key, value, path)
    return config


def _set(config: ml_collections.ConfigDict, key: str, value: Any, path: str) -> None:
    section, _, name = key.rpartition(".")
    target = config[section] if section else config
    if key in _NUMBER_OR_NAME and type(value) in (int, float):
        value = str(value)
    check_size(key, value, path)
    try:
        if value is None or isinstance(value, bool) != isinstance(target[name], bool):
            raise TypeError
        target[name] = value
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.UserError(
            f"`{key}` in {path} is {_short(value)}; it must be of type "
            f"{type(target[name]).__name__}."
        ) from error


def check_size(key: str, value: Any, path: str = "") -> None:
    """Refuse a whole number that 64 bits do not hold.

    Raises:
        UserError: naming the key.
    """
    if isinstance(value, int) and abs(value) >= 1 << 63:
        where = f" in {path}" if path else ""
        raise errors.UserError(
            f"`{key}`{where} is a number of {value.bit_length()} bits; it must be "
            "below 2**63."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def expand_home(config: ml_collections.ConfigDict) -> None:
    """Replace the `~` at the beginning of paths by the home folder.

    Raises:
        UserError: this machine has no such folder.
    """
    for key in sorted(PATH_KEYS):
        value = flatten(config)[key]
        try:
            _set(config, key, path_flags.expand(value), "the config")
        except ValueError as error:
            raise errors.UserError(f"`{key}` is {value}: {error}.") from error


def to_json(config: ml_collections.ConfigDict) -> str:
    """Return the config as indented JSON, keys sorted."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def digest(config: ml_collections.ConfigDict) -> str:
    """Return the SHA-256 of what the config computes (all but `FREE_KEYS`).

    A key that is newer than `FIRST_KEYS` counts only where it is not at its default, so
    that a run keeps its digest when keys are added.
    """
    default = flatten(defaults())
    fixed = {
        key: value
        for key, value in flatten(config).items()
        if key not in FREE_KEYS
        and (key in FIRST_KEYS or key not in default or value != default[key])
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def differences(
    old: Mapping[str, Any], new: ml_collections.ConfigDict
) -> list[tuple[str, Any, Any]]:
    """Return (key, old value, new value) of the keys that change the computation."""
    before, after = flatten(old), flatten(new)
    return [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if key not in FREE_KEYS and before.get(key) != after.get(key)
    ]
