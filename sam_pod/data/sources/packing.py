"""How a file is packed, by its first bytes and never by its name.

gzip, bzip2, xz and lzma are unpacked by Python, zstd where pyarrow is installed. Other
packings are refused by their names.
"""

import bz2
import gzip
import importlib.util
import lzma
import os
from collections.abc import Callable
from typing import BinaryIO

from sam_pod import errors

_MAX_LAYERS = 3  # One packing around another.


def _unpack_zstd(file: BinaryIO) -> BinaryIO:
    pyarrow = importlib.import_module("pyarrow")
    return pyarrow.CompressedInputStream(file, "zstd")


_ZSTD = b"\x28\xb5\x2f\xfd"
_UNPACKERS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x5d\x00\x00": lzma.LZMAFile,
    _ZSTD: _unpack_zstd,
}
_UNPACK = "unpack it and pass the folder"
# What a file is, and what to do, by its first bytes.
_OTHERS: dict[bytes, tuple[str, str]] = {
    b"Rar!": ("a RAR archive", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"\x1f\x9d": ("packed by compress, as .Z", _UNPACK),
    b"\x1f\xa0": ("packed by compress, as .Z", _UNPACK),
    b"\x04\x22\x4d\x18": ("packed by lz4", _UNPACK),
    b"LZIP": ("packed by lzip", _UNPACK),
    b"\x89LZO": ("packed by lzop", _UNPACK),
    b"0707": ("a cpio archive", _UNPACK),
    b"!<arch>": ("an ar archive", _UNPACK),
    b"MSCF": ("a cabinet archive", _UNPACK),
    b"xar!": ("a xar archive", _UNPACK),
    b"hsqs": ("a SquashFS image", _UNPACK),
    b"PK\x07\x08": ("one part of a split zip", "join the parts with `zip -s 0`"),
    b"PAR1": ("a Parquet file", "use --dataset=parquet with its folder"),
    b"\x93NUMPY": ("a NumPy array", "use --dataset=numpy with its folder"),
    b"\x89HDF\r\n": ("an HDF5 file", "save its arrays as an .npz, --dataset=numpy"),
    b"\x89PNG": ("a picture", "pass the folder or the archive of all pictures"),
    b"\xff\xd8\xff": ("a picture", "pass the folder or the archive of all pictures"),
    b"version https://git-lfs": (
        "a pointer of Git LFS and not the file itself",
        "fetch that with `git lfs pull`",
    ),
    b"<!DOCTYPE": ("a web page", "its download gave a page: fetch the file again"),
    b"<!doctype": ("a web page", "its download gave a page: fetch the file again"),
    b"<html": ("a web page", "its download gave a page: fetch the file again"),
}


def head(path: str) -> bytes:
    """Return the first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return file.read(32)


def is_zip(path: str) -> bool:
    """Return whether a file begins as a zip does, be it an empty one."""
    return head(path).startswith((b"PK\x03\x04", b"PK\x05\x06"))


def unpacker(path: str, place: str) -> Callable[[BinaryIO], BinaryIO] | None:
    """Return a function that unpacks a file as a stream; None for an unpacked file.

    Args:
        path: The file's path.
        place: The path to name in an error.

    Raises:
        OSError: it cannot be read.
        UserError: it is packed in a way that cannot be undone here.
    """
    start = head(path)
    if start.startswith(_ZSTD) and importlib.util.find_spec("pyarrow") is None:
        raise errors.UserError(
            f"{place} is packed by zstd, which needs pyarrow: install "
            "sam_pod/data/sources/parquet.lock, or unpack it with `zstd -d`."
        )
    found = [unpack for magic, unpack in _UNPACKERS.items() if start.startswith(magic)]
    return found[0] if found else None


def unpack(path: str, place: str, copy: Callable[[BinaryIO], str]) -> str:
    """Return the path of a file's unpacked content: its own if it is not packed.

    Args:
        path: The file's path.
        place: The path to name in an error.
        copy: A function that writes a stream to a file, and returns its path.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: it cannot be read or unpacked.
        UserError: as `unpacker`.
    """
    for _ in range(_MAX_LAYERS):
        opened = unpacker(path, place)
        if opened is None:
            return path
        with open(path, "rb") as file, opened(file) as content:
            path = copy(content)
    return path


def check_archive(path: str, place: str) -> None:
    """Refuse what is known to be no tar and no zip.

    Args:
        path: The path of the unpacked file.
        place: The path to name in an error.

    Raises:
        OSError: it cannot be read.
        UserError: naming what it is, and the way on.
    """
    start = head(path)
    for magic, (what, remedy) in _OTHERS.items():
        if start.startswith(magic):
            raise errors.UserError(
                f"{place} is {what}, and tar and zip are read: {remedy}."
            )
    if not os.path.getsize(path):
        raise errors.UserError(f"Cannot read {place} (it is empty): fetch it again.")
