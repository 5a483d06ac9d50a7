"""CIFAR-10 as its authors publish it, in the binary version.

https://www.cs.toronto.edu/~kriz/cifar.html: six files of records, each one byte of
label and 3,072 bytes of pixels, a plane of 32x32 for red, green and blue.
"""

import hashlib
import http.client
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tqdm

from sam_pod import errors
from sam_pod.data import archives, records

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
FILE_NAME = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_FILES = {
    "train": [f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6)],
    "test": [f"{FOLDER}/test_batch.bin"],
}
_META = f"{FOLDER}/batches.meta.txt"
_RECORD_BYTES = 1 + 3 * 32 * 32
_CONNECT_SECONDS = 10
_WAYS_ON = (
    f"Three ways on: (1) fetch {FILE_NAME} on another machine and run `python -m "
    "sam_pod.data.prepare --dataset=cifar10 --source=PATH --output=DIR` with its path, "
    "(2) run that with the path of a folder or tar of images train/<class>/*, "
    "test/<class>/*, (3) train on the embedded digits instead: "
    "--config=configs/resnet20.py:digits."
)


def read_archive(path: str, sha256: str = SHA256) -> records.Source:
    """Return the source in the archive at `path`; its 184 MB are held in memory.

    Raises:
        UserError: another checksum than `sha256`, or no such archive inside.
    """
    _check_sha256(path, archives.file_sha256(path), sha256)
    members = _read_members(path)
    classes = _classes(path, members[_META])
    return records.Source(
        name="cifar10",
        classes=classes,
        kind="cifar-10-binary",
        sha256=sha256,
        splits={
            split: _split(path, {name: members[name] for name in names})
            for split, names in _FILES.items()
        },
    )


def download(destination: str, check: Callable[[], object] = lambda: None) -> None:
    """Fetch the archive to `destination`, unless it is there already.

    `check` is called after each block; what it raises ends the download.

    Raises:
        UserError: no network, another checksum, or nowhere to write.
    """
    if os.path.exists(destination):
        _check_sha256(destination, archives.file_sha256(destination), SHA256)
        return
    partial = destination + ".partial"
    try:
        try:
            os.makedirs(os.path.dirname(destination) or ".", exist_ok=True)
            with open(partial, "wb") as file:
                checksum = hashlib.sha256()
                for block in _fetch(URL):
                    checksum.update(block)
                    file.write(block)
                    check()
            _check_sha256(URL, checksum.hexdigest(), SHA256)
            os.replace(partial, destination)
        finally:
            if os.path.exists(partial):
                os.remove(partial)
    except OSError as error:
        raise errors.UserError(
            f"Cannot write {destination} ({error.strerror or error}): check its "
            "permissions and the space that is left, or name another folder."
        ) from error


def _fetch(url: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=_CONNECT_SECONDS) as response:
            size = int(response.headers.get("Content-Length") or 0)
            with tqdm.tqdm(
                total=size or None,
                desc=os.path.basename(url),
                unit="B",
                unit_scale=True,
                disable=None,  # When stderr is no terminal.
            ) as bar:
                got = 0  # A bar that is turned off does not count.
                while block := response.read(1 << 18):
                    got += len(block)
                    bar.update(len(block))
                    yield block
            if got < size:
                raise ConnectionError(f"it broke off after {got} of {size} bytes")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise errors.UserError(
            f"Cannot download {url} ({reason}). {_WAYS_ON}"
        ) from error


def _check_sha256(where: str, found: str, expected: str) -> None:
    if found != expected:
        raise errors.UserError(
            f"{where} has SHA-256 {found}; it must be {expected}. It is incomplete or "
            f"another file: delete it and fetch {URL} anew."
        )


def _read_members(path: str) -> dict[str, bytes]:
    """Return the content of the members that are needed, by their paths."""
    needed = {_META, *(name for names in _FILES.values() for name in names)}
    found = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                name = archives.member_path(path, member)
                if name in needed and member.isfile():
                    found[name] = tar.extractfile(member).read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise archives.unreadable(path, error) from error
    for name in sorted(needed - found.keys()):
        raise errors.UserError(
            f"{path} lacks {name}; it must be the binary version of CIFAR-10, {URL}."
        )
    return found


def _classes(path: str, meta: bytes) -> tuple[str, ...]:
    classes = tuple(meta.decode("utf-8", "replace").split())
    if classes != CLASSES:
        raise errors.UserError(
            f"{_META} in {path} names the classes {', '.join(classes)[:120]}; they "
            f"must be {', '.join(CLASSES)}."
        )
    return classes


def _split(path: str, members: dict[str, bytes]) -> records.Split:
    parts = []
    for name, content in members.items():
        if not content or len(content) % _RECORD_BYTES:
            raise errors.UserError(
                f"{name} in {path} has {len(content)} bytes; it must hold records of "
                f"{_RECORD_BYTES} bytes, each whole."
            )
        rows = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
        if rows[:, 0].max() >= len(CLASSES):
            index = int(np.argmax(rows[:, 0] >= len(CLASSES)))
            raise errors.UserError(
                f"Record {index} of {name} in {path} has label {rows[index, 0]}; it "
                f"must be from 0 to {len(CLASSES) - 1}."
            )
        parts.append(rows)
    return records.Split(sum(map(len, parts)), lambda: _examples(parts))


def _examples(parts: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
    for rows in parts:
        for row in rows:
            yield row[1:].reshape(3, 32, 32).transpose(1, 2, 0), int(row[0])
