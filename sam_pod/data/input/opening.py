"""Where each record of a prepared data set is; a set that has changed is refused.

A set of up to a gibibyte is read byte by byte at each start. For a larger one the sizes
of the files and the offset indexes are compared with the manifest, and the checksums of
a record when it is read; `sam_pod.data.inspect` checks everything.
"""

import concurrent.futures
import os
import zlib
from collections.abc import Callable

import numpy as np

from sam_pod import errors
from sam_pod.data.input import scans
from sam_pod.data.stored import framing, offsets, schema, verify
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.storage import files

VERIFY_BYTES = 1 << 30

_THREADS = 32  # Indexes that are fetched at a time.


def read(
    directory: str,
    manifest: manifest_lib.Manifest,
    raise_if_stopped: Callable[[], object] = lambda: None,
) -> dict[str, list[np.ndarray]]:
    """Return the offsets of its records by split, as returned by `offsets.read`.

    Args:
        directory: The folder of the shards.
        manifest: The manifest of the shards.
        raise_if_stopped: A function called after each file that is scanned; what it
            raises ends the scan.

    Raises:
        UserError: a shard is missing, or is not the one that the manifest describes.
    """
    shards = [shard for part in manifest.splits.values() for shard in part]
    if sum(shard.num_bytes for shard in shards) <= VERIFY_BYTES:
        return verify.check(directory, manifest)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda shard: _check_size(directory, shard), shards))
        if all(shard.index_crc32 is not None for shard in shards):
            return {
                split: list(pool.map(lambda shard: _index(directory, shard), part))
                for split, part in manifest.splits.items()
            }
    return {
        split: _scanned(directory, manifest, split, raise_if_stopped)
        for split in manifest.splits
    }


def _check_size(directory: str, shard: manifest_lib.Shard) -> None:
    path = os.path.join(directory, shard.file)
    with manifest_lib.usable(path):
        manifest_lib.check_exists(path)
        num_bytes = files.size(path)
    if num_bytes != shard.num_bytes:
        raise errors.UserError(
            f"{path} is another file than the one prepared: it has {num_bytes} bytes, "
            f"{manifest_lib.FILE_NAME} says {shard.num_bytes}. {schema.AGAIN}"
        )


def _index(directory: str, shard: manifest_lib.Shard) -> np.ndarray:
    path = offsets.file_name(os.path.join(directory, shard.file))
    with manifest_lib.usable(path):
        manifest_lib.check_exists(path)
        content = files.read_bytes(path)
    if zlib.crc32(content) != shard.index_crc32:
        raise errors.UserError(
            f"{path} is another file than the one prepared: its CRC-32 is "
            f"{zlib.crc32(content):08x}, {manifest_lib.FILE_NAME} says "
            f"{shard.index_crc32:08x}. {schema.AGAIN}"
        )
    found = offsets.decode(content, path)
    if len(found) - 1 != shard.num_examples:
        raise errors.UserError(
            f"{path} is of {len(found) - 1} examples, {manifest_lib.FILE_NAME} says "
            f"{shard.num_examples}. {schema.AGAIN}"
        )
    return found


def _scanned(
    directory: str,
    manifest: manifest_lib.Manifest,
    split: str,
    raise_if_stopped: Callable[[], object],
) -> list[np.ndarray]:
    """Return the offsets of a split without indexes, as in schema 1."""
    shards = {shard.file: shard for shard in manifest.splits[split]}

    def look(path: str) -> framing.Scan:
        shard = shards[os.path.basename(path)]
        return verify.scan_shard(path, shard, split, manifest)

    kind = f"{split} of {manifest.digest()}"
    found = scans.scan(
        directory, list(shards), look, kind=kind, raise_if_stopped=raise_if_stopped
    )
    return [one.offsets for one in found]
