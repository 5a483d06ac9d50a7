"""The manifest of a prepared data set.

A prepared data set is a folder of TFRecord shards, each with its offset index, and
`manifest.json` beside them. The folder may be in a bucket; TensorFlow is needed there
alone.
"""

import contextlib
import dataclasses
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from sam_pod import errors
from sam_pod.data.stored import names, records, schema, wrong_labels
from sam_pod.machines import lost
from sam_pod.storage import faults, files

FILE_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file."""

    file: str
    num_examples: int
    num_bytes: int
    crc32: int  # zlib.crc32 of the whole file.
    index_crc32: int | None = None  # The offset index's; schema 1 has none.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a prepared data set holds."""

    schema_version: int = schema.VERSION
    name: str
    classes: tuple[str, ...]
    image_encoding: str = "raw"  # Or 'encoded', as JPEG, PNG and the like.
    image_shape: tuple[int, int, int]  # (H, W, C); (0, 0, C) for encoded images.
    mean: tuple[float, ...]  # Per channel of the train split, pixels in [0, 1].
    std: tuple[float, ...]
    source: Mapping[str, str]  # 'kind' and 'sha256'.
    # 'rate', 'seed', and since there are several, 'kind' and how many are 'wrong'.
    label_noise: Mapping[str, Any] | None = None
    splits: Mapping[str, tuple[Shard, ...]]  # The SPLITS, and perhaps VALIDATION.
    decisions: tuple[str, ...] = ()  # What `prepare` decided by itself, a line each.

    def num_examples(self, split: str) -> int:
        """Return the number of examples in a split."""
        return sum(shard.num_examples for shard in self.splits[split])

    def noise_summary(self) -> dict[str, Any] | None:
        """Return what is known of wrong labels, as a result says it; None for none."""
        if self.label_noise is None:
            return None
        return wrong_labels.summary(self.label_noise, self.num_examples("train"))

    def noise_in_words(self) -> str:
        """Return a phrase about wrong labels; '' for none."""
        noise = self.noise_summary()
        return "" if noise is None else wrong_labels.in_words(noise)

    def digest(self) -> str:
        """Return the SHA-256 of the manifest, and by its checksums of the data.

        The words of a decision do not count, nor that a later schema has room for
        them: data prepared again are the same data.
        """
        data = self._to_data()
        data.pop("decisions", None)
        if "label_noise" in data:
            data["label_noise"] = wrong_labels.identity(self.label_noise)
        data["schema_version"] = min(self.schema_version, 2)
        return schema.sha256(data)

    def to_json(self) -> str:
        """Return the text of the manifest's file."""
        data = self._to_data()
        if self.schema_version >= 3:
            data["digest"] = schema.sha256(data)
        return json.dumps(data, indent=2, sort_keys=True) + "\n"

    def _to_data(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        if self.schema_version < 3:
            del data["decisions"]
        if self.schema_version == 1:  # The digest of such a set stays what it was.
            del data["image_encoding"], data["label_noise"]
            for shard in (shard for part in data["splits"].values() for shard in part):
                del shard["index_crc32"]
        return data


def read(directory: str) -> Manifest:
    """Return the manifest of a prepared data set.

    Raises:
        UserError: no folder, no manifest in it, or one that breaks the schema.
    """
    directory = os.fspath(directory)
    path = os.path.join(directory, FILE_NAME)
    prepare = (
        f"prepare one with `{schema.PREPARE} "
        f"{shlex.quote(f'--output={directory}')}` (--help says how)"
    )
    files.check_scheme(directory, "`data.dir`")
    with usable(path):
        is_file = not files.is_remote(directory) and os.path.isfile(directory)
        content = None if is_file else files.read_bytes(path)
        if content is None and not files.exists(directory):
            raise errors.UserError(f"No data set at {directory!r}: {prepare}.")
        if content is None:
            raise errors.UserError(
                f"{directory!r} is no prepared data set, it has no {FILE_NAME}: "
                f"{prepare}."
            )
        files.check_ranges(path)
    try:
        data = files.parse_json(content)
    except ValueError as error:  # Not UTF-8, not JSON, too deep.
        raise errors.UserError(
            f"{path} is not JSON ({error}). {schema.AGAIN}"
        ) from error
    return _from_data(data, path)


def _from_data(data: Any, path: str) -> Manifest:
    keys = schema.check(data, path)
    keys.pop("digest", None)
    for key in ("classes", "image_shape", "decisions"):
        keys[key] = tuple(keys.get(key, ()))
    # Sets were once prepared with names that TensorFlow cannot hold.
    keys["classes"] = tuple(map(names.readable, keys["classes"]))
    for key in ("mean", "std"):
        keys[key] = tuple(map(float, keys[key]))
    keys["splits"] = {
        split: tuple(Shard(**shard) for shard in keys["splits"][split])
        for split in records.present(keys["splits"])
    }
    return Manifest(**keys)


@contextlib.contextmanager
def usable(path: str) -> Iterator[None]:
    """Turn an error about a file of a prepared set into one line.

    Raises:
        UserError: the file cannot be used.
    """
    try:
        yield
    except Exception as error:
        if not {"OSError", "OpError"} & errors.type_names(error):
            raise
        if lost.is_lost_worker(error):
            raise
        raise errors.UserError(faults.remote(path, error, "read")) from error


def check_exists(path: str) -> None:
    """Refuse a set that lacks a file.

    Raises:
        UserError: naming it.
    """
    is_link = not files.is_remote(path) and os.path.islink(path)
    if is_link and not os.path.exists(path):
        raise errors.UserError(
            f"{path} is a link to {os.readlink(path)}, where nothing is: put back what "
            f"it led to. Or: {schema.AGAIN}"
        )
    if not files.exists(path):
        raise errors.UserError(
            f"{path} is missing, which {FILE_NAME} names: copy it from where the data "
            f"set came from. Or: {schema.AGAIN}"
        )
