"""What the first bytes of a JPEG or a PNG say, in a few microseconds.

Most pictures are plain: TensorFlow's decoders give their right colours, upright.
"""

import dataclasses
from collections.abc import Iterator

import PIL.Image

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_SMALL = 1 << 14  # Bytes: searching them is as fast as walking over their segments.
_ORIENTATION = 0x0112
# Those that may change what is seen: transparency, orientation, more frames.
_DOUBTFUL_CHUNKS = (b"tRNS", b"eXIf", b"acTL", b"CgBI")


def is_jpeg(content: bytes) -> bool:
    """Return whether some bytes are a JPEG, by the first of them."""
    return content[:3] == _JPEG


def is_plain(content: bytes) -> bool:
    """Return whether TensorFlow is sure to decode a picture right, if it is whole."""
    if content[:3] == _JPEG:
        return not _has_exif(content) or orientation(content) == 1
    if content[:8] != _PNG or len(content) < 26:
        return False
    # Up to 8 bits of grey, colours or a palette.
    is_common = content[24] <= 8 and content[25] in (0, 2, 3)
    return is_common and _has_plain_chunks(content)


def _has_plain_chunks(content: bytes) -> bool:
    at, end = 8, len(content)
    while at < end:
        if content[at + 4 : at + 8] in _DOUBTFUL_CHUNKS:
            return False
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return True


def _has_exif(content: bytes) -> bool:
    if len(content) <= _SMALL:
        return _EXIF in content
    return any(_is_exif(content, marker, at) for marker, at, _ in segments(content))


def _is_exif(content: bytes, marker: int, at: int) -> bool:
    return marker == 0xE1 and content[at : at + 6] == _EXIF


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment of a JPEG before its pixels."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # Padding.
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        elif marker in (0xD9, 0xDA):
            return
        else:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            yield marker, at + 4, end
            at = end


def orientation(content: bytes) -> int:
    """Return the orientation in the EXIF data of a JPEG, from 1 to 8; 1 for upright."""
    for marker, start, end in segments(content):
        if _is_exif(content, marker, start):
            return orientation_of(content[start:end])
    return 1


def orientation_of(exif: bytes) -> int:
    """Return the orientation in EXIF data; 1 where they say none, or are broken."""
    data = PIL.Image.Exif()
    try:
        data.load(exif)
        found = data.get(_ORIENTATION, 1)
    except Exception:  # Broken data can raise anything: viewers ignore them, too.
        return 1
    return found if found in range(1, 9) else 1


@dataclasses.dataclass(frozen=True)
class Frame:
    """How a JPEG is coded, by its own header."""

    process: int  # The number of its SOF marker, 0 for baseline.
    precision: int  # Bits of a sample.
    components: int


def frame(content: bytes) -> Frame | None:
    """Return how a JPEG is coded; None where it does not say."""
    for marker, start, _ in segments(content):
        is_start = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_start and start + 6 <= len(content):
            return Frame(marker - 0xC0, content[start], content[start + 5])
    return None


def jpeg2000_bits(content: bytes) -> int:
    """Return the bits of a sample of the first component; 0 where it does not say."""
    start = content.find(b"\xff\x4f\xff\x51")
    at = start + 42  # Behind the sizes of the picture and of its tiles.
    if start < 0 or at >= len(content):
        return 0
    return (content[at] & 0x7F) + 1
