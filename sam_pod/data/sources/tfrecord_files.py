"""Files of TFRecords in a folder: which they are, and how they are packed."""

import os
import tempfile
import zlib

from sam_pod import errors
from sam_pod.data.sources import archives, numbered_files, split_names
from sam_pod.data.stored import framing

_BLOCK = 1 << 20


def find(folder: str) -> tuple[dict[str, list[str]], set[str], int]:
    """Return the files by group, which of them are compressed, and how many others.

    Raises:
        UserError: there are none.
    """
    if not os.path.isdir(folder):
        raise errors.UserError(
            f"`source` is {folder!r}; for tfrecord it must be a folder of TFRecords."
        )
    found: dict[str, list[str]] = {}
    packed, others = set(), 0
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            path = os.path.join(parent, name)
            kind = "" if name[0] == "." else kind_of(path)
            if not kind:
                others += name[0] != "."
                continue
            if kind != "plain":
                packed.add(path)
            below = os.path.relpath(path, folder)
            group = split_names.group_of_file(below) or numbered_files.stem(below)
            found.setdefault(group, []).append(path)
    if not found:
        raise errors.UserError(f"{folder} has no TFRecord file, plain, GZIP or ZLIB.")
    return found, packed, others


def kind_of(path: str) -> str:
    """Return how a file holds TFRecords: 'plain', 'GZIP', 'ZLIB', or '' for not at all.

    Its first bytes show it: the checksum of the first length is right.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise archives.unreadable(path, error) from error
    return kind_of_bytes(start)


def kind_of_bytes(start: bytes) -> str:
    """Return what `kind_of` returns, given the first bytes of a file."""
    if _is_header(start):
        return "plain"
    for name, bits in (("GZIP", 31), ("ZLIB", 15)):
        try:
            unpacked = zlib.decompressobj(bits).decompress(start)
        except zlib.error:
            continue
        if _is_header(unpacked):
            return name
    return ""


def _is_header(start: bytes) -> bool:
    if len(start) < 12:
        return False
    return framing.masked_crc32c(start[:8]) == int.from_bytes(start[8:12], "little")


def unpacked(path: str, scratch: str) -> str:
    """Return where a compressed file lies unpacked, while this process lives.

    Raises:
        UserError: it is damaged.
    """
    with tempfile.TemporaryFile(dir=scratch) as copy, open(path, "rb") as file:
        unpack = zlib.decompressobj(32 + 15)  # Either kind.
        try:
            while block := file.read(_BLOCK):
                copy.write(unpack.decompress(block))
                while unpack.eof and unpack.unused_data:  # Another member follows.
                    rest = unpack.unused_data
                    unpack = zlib.decompressobj(32 + 15)
                    copy.write(unpack.decompress(rest))
        except zlib.error as error:
            raise archives.unreadable(path, error) from error
        if not unpack.eof:
            raise archives.unreadable(path, EOFError("it is cut short"))
        copy.seek(0)
        return archives.unnamed_copy(copy, scratch)
