"""CIFAR-10 as its authors publish it, in the binary version.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Iterator

import tqdm

from sam_pod import errors
from sam_pod.data.sources import archives, cifar
from sam_pod.data.stored import records
from sam_pod.storage import turns

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

LAYOUT = cifar.Layout(
    name="cifar10",
    kind="cifar-10-binary",
    url=URL,
    members={
        "train": tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6)),
        "test": (f"{FOLDER}/test_batch.bin",),
    },
    classes_member=f"{FOLDER}/batches.meta.txt",
    first_classes=CLASSES,
    num_classes=len(CLASSES),
    label_bytes=1,
)
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
    return cifar.read(path, LAYOUT, sha256)


def download(destination: str, caller: turns.Caller | None = None) -> None:
    """Fetch the archive to `destination`, unless it is there already.

    Where another process is fetching it, it is waited for. The caller's `check` is
    called after each block; what it raises ends the download.

    Raises:
        UserError: no network, another checksum, or nowhere to write.
    """
    caller = caller or turns.Caller()
    with turns.turn(destination, FILE_NAME, caller) as is_ours:
        if is_ours:
            _download(destination, caller.raise_if_stopped)


def _download(destination: str, raise_if_stopped: Callable[[], object]) -> None:
    if os.path.exists(destination):
        cifar.check_sha256(destination, archives.file_sha256(destination), SHA256, URL)
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
                    raise_if_stopped()
            cifar.check_sha256(URL, checksum.hexdigest(), SHA256, URL)
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
