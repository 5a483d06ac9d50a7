"""What is in a zip archive, and one member of it, by one read of the disk.

Sizes of 4 GiB and above (zip64) and members that are stored or packed by deflate,
bzip2 or lzma are read. Members that are encrypted or packed otherwise are refused by
name.
"""

import bz2
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

from sam_pod import errors, wording
from sam_pod.data.sources import archives

_HEADER = struct.Struct("<4s22xHH")  # Signature, lengths of the name and of the rest.
_READ = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
_METHODS = {
    **{1: "shrink", 6: "implode", 9: "deflate64", 10: "implode", 19: "LZ77"},
    **{93: "zstd", 94: "MP3", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd"},
}


def entries(place: str, path: str) -> Iterator[archives.Entry]:
    """Yield what is in a zip.

    While the zip is read, each member takes about a kilobyte of memory.

    Args:
        place: The name to use in an error.
        path: The file that has its bytes.

    Raises:
        UserError: it is broken, has a member that escapes, or one that cannot be read.
    """
    faults: dict[str, list[str]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if why := _fault(info):
                    faults.setdefault(why, []).append(info.filename)
                else:
                    yield _entry(place, archive, info)
    except errors.UserError:
        raise
    except (*archives.FAULTS, ValueError, RuntimeError, NotImplementedError) as error:
        raise archives.unreadable(place, error) from error
    for why, names in faults.items():
        members = wording.counted(len(names), "member that is", "members that are")
        raise errors.UserError(
            f"{place} has {members} {why}, such as {names[0]!r}: unpack it with the "
            "program that made it and pass the folder."
        )


def _fault(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 0x41:
        return "encrypted"
    if info.compress_type not in _READ:
        method = info.compress_type
        return f"packed by {_METHODS.get(method, f'method {method}')}"
    return ""


def _entry(
    place: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> archives.Entry:
    raw = info.filename.replace("\\", "/")  # As some programs of Windows write it.
    name, link = archives.checked_path(place, raw), ""
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        link = archives.target(place, name, os.fsdecode(archive.read(info)))
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise archives.no_file(place, info.filename)
    # zipfile adds to the offset what lies before the archive in its file.
    return archives.Entry(
        name,
        info.header_offset,
        -1 if raw.endswith("/") else info.file_size,
        link,
        (info.compress_size, info.compress_type, info.CRC),
    )


def read(handle: int, offset: int, size: int, how: tuple[int, ...]) -> bytes:
    """Return the content of a member.

    Args:
        handle: The file's handle.
        offset: The byte at which the member's header starts.
        size: The member's bytes, unpacked.
        how: The three numbers of `archives.Entry.packed`.

    Raises:
        OSError, zlib.error, ...: any of archives.FAULTS.
    """
    packed, method, crc32 = how
    block = os.pread(handle, _HEADER.size + 300 + packed, offset)
    if len(block) < _HEADER.size or not block.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile(f"no member starts at byte {offset}")
    _, name, extra = _HEADER.unpack_from(block)
    start = _HEADER.size + name + extra
    if len(block) < start + packed:
        block = os.pread(handle, start + packed, offset)
    content = _unpacked(block[start : start + packed], method, size)
    if len(content) != size or zlib.crc32(content) != crc32:
        raise zipfile.BadZipFile(f"the CRC-32 of the member at byte {offset} is wrong")
    return content


def _unpacked(content: bytes, method: int, size: int) -> bytes:
    """Return the unpacked bytes, at most one more than the size that is stated."""
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(content, size + 1)
    if method == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(content, size + 1)
    if method == zipfile.ZIP_LZMA:
        return zipfile.LZMADecompressor().decompress(content)
    return content
