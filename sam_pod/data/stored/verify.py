"""Does a prepared data set hold what its manifest says? Every byte is read once."""

import os
import zlib
from collections.abc import Callable

import numpy as np

from sam_pod import errors
from sam_pod.data.stored import fitting, framing, offsets, schema
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.storage import files

# A function of the split, some whole records that fit, and their starts in the shard.
Look = Callable[[str, bytes, list[int]], object]


def _look_away(split: str, content: bytes, starts: list[int]) -> None:
    pass


def check(
    directory: str, manifest: manifest_lib.Manifest, look: Look = _look_away
) -> dict[str, list[np.ndarray]]:
    """Read every byte of a data set and every example but its pixels, once.

    It returns, for each shard of a split, the offsets of its records as returned by
    `offsets.read`.

    Args:
        directory: The data set's folder.
        manifest: The data set's manifest.
        look: A function that gets all records on the way.

    Raises:
        UserError: a shard or its index is missing, truncated, corrupt or another one
            than the manifest describes, or its examples do not fit the manifest.
    """
    directory = os.fspath(directory)
    found: dict[str, list[np.ndarray]] = {split: [] for split in manifest.splits}
    for split in manifest.splits:
        for shard in manifest.splits[split]:
            path = os.path.join(directory, shard.file)
            scan = scan_shard(path, shard, split, manifest, look)
            if shard.index_crc32 is not None:
                _check_index(offsets.file_name(path), shard, scan)
            found[split].append(offsets.of_scan(scan))
    return found


def scan_shard(
    path: str,
    shard: manifest_lib.Shard,
    split: str,
    manifest: manifest_lib.Manifest,
    look: Look = _look_away,
) -> framing.Scan:
    """Read every byte and every example of a shard.

    Raises:
        UserError: as `check`, but for the index.
    """
    with manifest_lib.usable(path):
        manifest_lib.check_exists(path)
        examples = fitting.Fit(path, split, manifest)

        def visit(content: bytes, starts: list[int]) -> None:
            examples.visit(content, starts)
            if starts and examples.corrupt is None and not examples.misfit:
                look(split, content, starts)

        scan = framing.scan(path, visit)
    _check_bytes(path, shard, scan, examples.corrupt)
    if examples.misfit:
        raise errors.UserError(f"{examples.misfit}. {schema.AGAIN}")
    return scan


def _check_index(path: str, shard: manifest_lib.Shard, scan: framing.Scan) -> None:
    with manifest_lib.usable(path):
        manifest_lib.check_exists(path)
        content = files.read_bytes(path)
    checksum = zlib.crc32(content)
    if checksum != shard.index_crc32:
        raise errors.UserError(
            f"{path} is another file than the one prepared: it has {len(content)} "
            f"bytes with CRC-32 {checksum:08x}, {manifest_lib.FILE_NAME} says "
            f"{shard.index_crc32:08x}. {schema.AGAIN}"
        )
    if content != offsets.encode(scan.starts, scan.num_bytes):
        raise errors.UserError(
            f"{path} says that records of {shard.file} start where they do not, though "
            f"its CRC-32 is the one in {manifest_lib.FILE_NAME}. {schema.AGAIN}"
        )


def _check_bytes(
    path: str, shard: manifest_lib.Shard, scan: framing.Scan, corrupt: int | None
) -> None:
    """Refuse a file that is not what was prepared."""
    fault, offset = scan.fault, scan.offset
    same = (scan.num_bytes, scan.crc32) == (shard.num_bytes, shard.crc32)
    if corrupt is not None and same:
        raise errors.UserError(
            f"{path} is corrupt at byte {corrupt}, though its CRC-32 is the one in "
            f"{manifest_lib.FILE_NAME}. {schema.AGAIN}"
        )
    if corrupt is not None:
        fault, offset = "corrupt", corrupt
    elif not same and not fault and scan.num_bytes < shard.num_bytes:
        fault = "truncated"
    if fault:
        raise errors.UserError(
            f"{path} is {fault} at byte {offset}: it has {scan.num_bytes} bytes with "
            f"CRC-32 {scan.crc32:08x}, {manifest_lib.FILE_NAME} says "
            f"{shard.num_bytes} with {shard.crc32:08x}. {schema.AGAIN}"
        )
    if not same:
        raise errors.UserError(
            f"{path} is another file than the one prepared: its records are whole, but "
            f"it has {scan.num_bytes} bytes with CRC-32 {scan.crc32:08x}, "
            f"{manifest_lib.FILE_NAME} says {shard.num_bytes} with "
            f"{shard.crc32:08x}. {schema.AGAIN}"
        )
    if len(scan.starts) != shard.num_examples:
        raise errors.UserError(
            f"{path} holds {len(scan.starts)} examples, {manifest_lib.FILE_NAME} says "
            f"{shard.num_examples}. {schema.AGAIN}"
        )
