"""Which shards a data set gets, and whether those that are there can be used again."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Iterator

import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shard_rules, shard_writer
from sam_pod.data.stored import records, schema
from sam_pod.storage import files, new_folder

_FILE = "plan.json"
_EXAMPLE_BYTES = 200  # Roughly, beside the image: features, frame, index, state.


@dataclasses.dataclass(frozen=True)
class Part:
    """The examples of a split that a shard gets."""

    file: str
    split: str
    start: int
    stop: int


def _stored_bytes(
    source: records.Source, rules: shard_rules.ShardRules, split: str
) -> int:
    part = source.splits[split]
    if rules.encoding == "raw":
        return part.num_examples * math.prod(rules.image_shape)
    return part.num_bytes


def parts(
    source: records.Source, rules: shard_rules.ShardRules, num_shards: int
) -> Iterator[Part]:
    """Yield the shards of all splits, which differ by one example at most."""
    for split in records.present(source.splits):
        size = source.splits[split].num_examples
        wanted = num_shards or _default_shards(_stored_bytes(source, rules, split))
        count = min(wanted, size)
        ends = [size * (i + 1) // count for i in range(count)]
        for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            name = f"{split}-{i:05d}-of-{count:05d}.tfrecord"
            yield Part(name, split, start, end)


def _default_shards(num_bytes: int) -> int:
    """Return 8 to 64 shards, and beyond as many as have 128 MiB each.

    Many are written by many processes; a bucket gives long files faster.
    """
    return max(8, min(64, num_bytes >> 23), num_bytes >> 27)


def text(
    source: records.Source, rules: shard_rules.ShardRules, shards: list[Part]
) -> str:
    """Return a text that must stay the same for an existing shard to be used again."""
    return json.dumps(
        {
            "tensorflow": tf.__version__,
            "schema": schema.VERSION,
            "kind": source.kind,
            "fingerprint": source.fingerprint,
            "rules": dataclasses.asdict(rules),
            "decisions": source.decisions,
            "classes": source.classes,
            "shards": [dataclasses.astuple(part) for part in shards],
        },
        sort_keys=True,
    )


def begin(folder: str, plan: str) -> None:
    """Empty the folder, unless it holds what the same plan has made so far."""
    state = os.path.join(folder, shard_writer.STATE)
    path = os.path.join(state, _FILE)
    if files.read_bytes(path) == plan.encode():
        return
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.remove(entry.path)
    os.mkdir(state)
    files.write(path, plan)


def check_space(
    source: records.Source, rules: shard_rules.ShardRules, output: str, plan: str
) -> None:
    """Refuse a disk that has less space than what is still to be written.

    Raises:
        UserError: with both sizes.
    """
    needed = sum(
        _stored_bytes(source, rules, split)
        + source.splits[split].num_examples * _EXAMPLE_BYTES
        for split in records.present(source.splits)
    )
    partial = new_folder.partial(output)
    with contextlib.suppress(OSError):  # That is for whoever makes the folder to say.
        path = os.path.join(partial, shard_writer.STATE, _FILE)
        if files.read_bytes(path) == plan.encode():
            needed -= sum(entry.stat().st_size for entry in os.scandir(partial))
    free = shutil.disk_usage(new_folder.nearest(os.path.dirname(partial))).free
    if needed > free:
        raise errors.UserError(
            f"Cannot write {output}: that takes about {needed / 1e9:.3g} GB, and the "
            f"disk has {free / 1e9:.3g} GB of space left: free some, or name another "
            "folder."
        )
