"""The rules that the JSON of a manifest must keep.

Version 1 knows raw images without label noise, and no offset indexes. Version 2 knows
no decisions, no validation split and no digest of the manifest itself.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from sam_pod import errors
from sam_pod.config import data_rows
from sam_pod.data.stored import records

VERSION = 3
ENCODINGS = ("raw", "encoded")
_OF_NOISE = {"rate", "seed", "kind", "wrong"}
PREPARE = "python -m sam_pod.data.prepare"
AGAIN = (
    "If nothing is copying or writing it now, delete the folder and prepare it again "
    f"with `{PREPARE}`."
)

Rules = Mapping[str, tuple[Callable[[Any], bool], str]]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and abs(number) < 1e6  # Refuses NaN, too.
        for number in value
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_shape(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    return all(map(_is_count, value)) and value[2] > 0


def _is_label_noise(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or not {"rate", "seed"} <= set(value) <= _OF_NOISE:
        return False
    return (
        _are_numbers([value["rate"]])
        and 0 < value["rate"] <= 1
        and _is_count(value["seed"])
        and value.get("kind", data_rows.NOISE_KINDS[0]) in data_rows.NOISE_KINDS
        and _is_count(value.get("wrong", 0))
    )


def _is_version(value: Any) -> bool:
    return _is_count(value) and 1 <= value <= VERSION


def _are_names(value: Any) -> bool:
    if not isinstance(value, list) or not all(map(_is_text, value)):
        return False
    return 0 < len(value) == len(set(value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_file_name(value: Any) -> bool:
    # A name such as '../x' would make the check and the training read elsewhere.
    return _is_text(value) and os.path.basename(value) == value and value[0] != "."


_MANIFEST: Rules = {
    "schema_version": (_is_version, f"from 1 to {VERSION}"),
    "name": (_is_text, "text"),
    "classes": (_are_names, "a list of different names"),
    "image_shape": (_is_shape, "[height, width, channels], whole numbers"),
    "mean": (_are_numbers, "a list of numbers"),
    "std": (_are_numbers, "a list of numbers"),
    "source": (_is_object, "an object"),
    "splits": (_is_object, "an object"),
}
_SINCE_2: Rules = {
    "image_encoding": (lambda value: value in ENCODINGS, "'raw' or 'encoded'"),
    "label_noise": (
        _is_label_noise,
        "null or {'rate': above 0, up to 1, 'seed': 0…} and perhaps 'kind' and 'wrong'",
    ),
}
_SINCE_3: Rules = {
    "decisions": (_are_texts, "a list of texts"),
    "digest": (_is_text, "text"),
}
_SOURCE: Rules = {"kind": (_is_text, "text"), "sha256": (_is_text, "text")}
_SPLITS: Rules = dict.fromkeys(records.SPLITS, (_is_list, "a list of shards"))
_SHARD: Rules = {
    "file": (_is_file_name, "the name of a file in the folder"),
    "num_examples": (_is_count, "a whole number, 0 or above"),
    "num_bytes": (_is_count, "a whole number, 0 or above"),
    "crc32": (_is_count, "a whole number, 0 or above"),
}
_SHARD_SINCE_2: Rules = {"index_crc32": _SHARD["crc32"]}


def check(data: Any, path: str) -> dict[str, Any]:
    """Return the keys of `data`, the JSON of a manifest, that its version knows.

    Raises:
        UserError: a key is missing or its value breaks the rule.
    """
    keys = _checked(data, _MANIFEST, path)
    since_2 = keys["schema_version"] >= 2
    if since_2:
        keys |= _checked(data, _SINCE_2, path)
    if keys["schema_version"] >= 3:
        keys |= _checked(data, _SINCE_3, path)
    *size, channels = keys["image_shape"]
    if keys.get("image_encoding") == "encoded":
        if any(size) or channels not in (1, 3):
            raise errors.UserError(
                f"`image_shape` in {path} is {keys['image_shape']}; of images that are "
                f"stored encoded it must be [0, 0, 1] or [0, 0, 3]. {AGAIN}"
            )
    elif not all(size):
        raise errors.UserError(
            f"`image_shape` in {path} is {keys['image_shape']}; of raw images it must "
            f"be [height, width, channels], each above 0. {AGAIN}"
        )
    for key in ("mean", "std"):
        if len(keys[key]) != channels:
            raise errors.UserError(
                f"`{key}` in {path} has {len(keys[key])} values; it must have one per "
                f"channel of `image_shape` ({channels}). {AGAIN}"
            )
    keys["source"] = _checked(keys["source"], _SOURCE, f"`source` in {path}")
    splits = dict(_SPLITS)
    if keys["schema_version"] >= 3 and records.VALIDATION in keys["splits"]:
        splits[records.VALIDATION] = _SPLITS["train"]
    keys["splits"] = _checked(keys["splits"], splits, f"`splits` in {path}")
    files, rules = [], _SHARD | _SHARD_SINCE_2 if since_2 else _SHARD
    for split, shards in list(keys["splits"].items()):
        checked: list[dict[str, Any]] = []
        for i, shard in enumerate(shards):
            checked.append(_checked(shard, rules, f"`splits.{split}[{i}]` in {path}"))
            files.append(checked[-1]["file"])
        keys["splits"][split] = checked
        if not sum(shard["num_examples"] for shard in shards):
            raise errors.UserError(
                f"`splits.{split}` in {path} has no examples; it must have one at "
                f"least. {AGAIN}"
            )
    if len(set(files)) < len(files):
        raise errors.UserError(
            f"`splits` in {path} names a file twice; an example belongs to one split, "
            f"once. {AGAIN}"
        )
    if "digest" in keys:
        _check_digest(data, path)
    return keys


def sha256(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_digest(data: Mapping[str, Any], path: str) -> None:
    """Refuse a manifest that was changed after it was written, perhaps by hand."""
    rest = {key: value for key, value in data.items() if key != "digest"}
    if sha256(rest) != data["digest"]:
        raise errors.UserError(
            f"{path} is not as it was written, for its `digest` is of another text: "
            f"copy it again from where it came from. Or: {AGAIN}"
        )


def _checked(data: Any, rules: Rules, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise errors.UserError(f"{where} is no JSON object. {AGAIN}")
    for key, (holds, rule) in rules.items():
        if key not in data:
            raise errors.UserError(f"{where} lacks the key `{key}`. {AGAIN}")
        if not holds(data[key]):
            shown = repr(data[key])[:80]
            raise errors.UserError(
                f"`{key}` in {where} is {shown}; it must be {rule}. {AGAIN}"
            )
    return {key: data[key] for key in rules}
