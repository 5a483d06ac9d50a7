"""Where the records of files without an index start: scanned once, then remembered.

A file of another size or another time of change is scanned again.
"""

import base64
import concurrent.futures
import dataclasses
import os
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import wording
from sam_pod.data.input import notes
from sam_pod.data.stored import framing, offsets
from sam_pod.storage import files

_THREADS = 16  # More than there are cores: a scan waits for the storage, too.


@dataclasses.dataclass(frozen=True)
class Scanned:
    """One file, as it was scanned."""

    file: str
    num_bytes: int
    modified: int  # Nanoseconds.
    crc32: int  # zlib.crc32 of the whole file.
    offsets: np.ndarray  # As returned by `offsets.read`.

    @property
    def index_crc32(self) -> int:
        """The zlib.crc32 that its index would have."""
        return zlib.crc32(offsets.encode(self.offsets[:-1], self.num_bytes))


def scan(
    directory: str,
    names: Sequence[str],
    look: Callable[[str], framing.Scan],
    *,
    kind: str,
    raise_if_stopped: Callable[[], object] = lambda: None,
) -> list[Scanned]:
    """Return what is known of the files `names`; those that are not known are scanned.

    Args:
        directory: The local or remote folder of the files.
        names: The names of the files.
        look: A function that scans the file of a path, and raises if it does not fit.
        kind: The kind of the scan; scans of another kind do not count.
        raise_if_stopped: A function called after each file that is scanned; what it
            raises ends the scan.
    """
    known = {found.file: found for found in _remembered(directory, kind)}
    stats = {name: _stat(os.path.join(directory, name)) for name in names}
    missing = [
        name
        for name in names
        if name not in known
        or (known[name].num_bytes, known[name].modified) != stats[name]
    ]
    if missing:
        count = wording.counted(len(missing), "file", "files")
        logging.info("Scanning %s of %s, once.", count, directory)
        for found in _scan_all(directory, missing, look, raise_if_stopped):
            known[found.file] = dataclasses.replace(
                found, modified=stats[found.file][1]
            )
        data = [_to_data(known[name]) for name in names]
        notes.write(directory, kind, data)
    return [known[name] for name in names]


def _scan_all(
    directory: str,
    names: Sequence[str],
    look: Callable[[str], framing.Scan],
    raise_if_stopped: Callable[[], object],
) -> list[Scanned]:
    def scan_one(name: str) -> Scanned:
        found = look(os.path.join(directory, name))
        where = offsets.of_scan(found)
        return Scanned(name, found.num_bytes, 0, found.crc32, where)

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        tasks = [pool.submit(scan_one, name) for name in names]
        try:
            found = []
            for task in tasks:
                found.append(task.result())
                raise_if_stopped()
            return found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _stat(path: str) -> tuple[int, int]:
    """Return the size of a file, and when it was changed, 0 if that is not known."""
    if not files.is_remote(path):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    size = files.size(path)
    try:
        return size, tf.io.gfile.stat(path).mtime_nsec
    except tf.errors.OpError:
        return size, 0


def _remembered(directory: str, kind: str) -> list[Scanned]:
    try:
        return [_from_data(data) for data in notes.read(directory, kind) or []]
    except (ValueError, TypeError, KeyError):  # It was not we who wrote it.
        return []


def _to_data(found: Scanned) -> dict[str, object]:
    data = {**vars(found), "offsets": found.offsets.astype("<i8").tobytes()}
    return {**data, "offsets": base64.b64encode(data["offsets"]).decode()}


def _from_data(data: dict) -> Scanned:
    content = base64.b64decode(data["offsets"], validate=True)
    return Scanned(**{**data, "offsets": offsets.decode(content, data["file"])})
