"""Which kind of picture some bytes are, by their content, never by a name."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str  # With its article, to stand behind 'is'.
    pillow: str = ""  # The format of Pillow that reads it; '' where none does.
    advice: str = ""  # The remedy where none reads it.

    @property
    def plain_name(self) -> str:
        """Its name without the article."""
        return self.name.split(" ", 1)[-1]


_CONVERT = "convert it to JPEG or PNG"
JPEG = Kind("a JPEG", "JPEG")
PNG = Kind("a PNG", "PNG")
TIFF = Kind("a TIFF", "TIFF")
JPEG2000 = Kind("a JPEG 2000 picture", "JPEG2000")
PPM = Kind("a PPM or PGM", "PPM")
SGI = Kind("an SGI picture", "SGI")
_TGA = Kind("a TGA", "TGA")
_HEIC = Kind("a HEIC picture", advice=_CONVERT)
_RAW = Kind("a camera's raw picture", advice=_CONVERT)
_JXL = Kind("a JPEG XL picture", advice=_CONVERT)
_SVG = Kind("an SVG drawing", advice="draw it as a PNG first")
_VIDEO = Kind("a video", advice="take pictures out of it first")
_HTML = Kind("a web page", advice="its download failed perhaps: fetch it again")
_TEXT = Kind("a text")
EMPTY = Kind("an empty file")
UNKNOWN = Kind("a file of no known kind")

# Kinds by the bytes at the start.
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", Kind("a GIF", "GIF")),
    (b"GIF89a", Kind("a GIF", "GIF")),
    (b"II*\0\x10\0\0\0CR", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"IIU\0", _RAW),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"FOVb", _RAW),
    (b"\0MRM", _RAW),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    (b"\xff\x0a", _JXL),
    (b"qoif", Kind("a QOI", "QOI")),
    (b"\x01\xda", SGI),
    (b"\x59\xa6\x6a\x95", Kind("a Sun raster", "SUN")),
    (b"DDS ", Kind("a DDS", "DDS")),
    (b"icns", Kind("an ICNS", "ICNS")),
    (b"8BPS", Kind("a Photoshop document", advice=_CONVERT)),
    (b"gimp xcf", Kind("a GIMP document", advice=_CONVERT)),
    (b"\x76\x2f\x31\x01", Kind("an OpenEXR picture", advice=_CONVERT)),
    (b"#?RADIANCE", Kind("a Radiance HDR picture", advice=_CONVERT)),
    (b"\x8aMNG", _VIDEO),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"%PDF", Kind("a PDF", advice="draw its pages as PNG first")),
    (b"%!PS", Kind("a PostScript file", advice="draw it as a PNG first")),
    (b"\xd7\xcd\xc6\x9a", Kind("a Windows metafile", advice="draw it as a PNG first")),
    (b"\x93NUMPY", Kind("a NumPy array", advice="--dataset=numpy reads arrays")),
    (b"\x89HDF\r\n", Kind("an HDF5 file")),
    (b"SIMPLE  =", Kind("a FITS picture", advice=_CONVERT)),
    (b"PK\3\4", Kind("a zip archive", advice="unpack it first")),
    (b"\x1f\x8b", Kind("a file packed with gzip", advice="unpack it first")),
    (
        b"version https://git-lfs",
        Kind("a pointer of Git LFS", advice="fetch the file with `git lfs pull`"),
    ),
)
_BRANDS: tuple[tuple[bytes, Kind], ...] = (
    (b"avi", Kind("an AVIF", "AVIF")),
    (b"hei", _HEIC),
    (b"hev", _HEIC),
    (b"mif1", _HEIC),
    (b"msf1", _HEIC),
    (b"crx ", _RAW),
)
_MARKUP = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<", re.DOTALL)
_START = 1024  # Bytes that are looked at for a word.


def kind_of(content: bytes) -> Kind:
    """Return what the bytes of a file are."""
    if not content:
        return EMPTY
    for start, kind in _STARTS:
        if content.startswith(start):
            return kind
    return (
        _of_container(content)
        or _of_header(content)
        or _of_text(content[:_START])
        or UNKNOWN
    )


def _of_container(content: bytes) -> Kind | None:
    if content[:4] == b"RIFF":
        is_webp = content[8:12] == b"WEBP"
        return Kind("a WebP", "WEBP") if is_webp else _VIDEO
    if content[4:8] != b"ftyp":
        return None
    # The major brand first; an AVIF may have a general one and name its own below.
    size = int.from_bytes(content[:4], "big")
    brands = [content[8:12], *re.findall(rb"(?s)....", content[16 : min(size, 256)])]
    if any(brand.startswith(b"avi") for brand in brands):
        return Kind("an AVIF", "AVIF")
    for start, kind in _BRANDS:
        if brands[0].startswith(start):
            return kind
    return _VIDEO


def _of_header(content: bytes) -> Kind | None:
    """Return the kind of bytes without a signature of their own, by several fields."""
    if content[:4] in _ICONS and any(content[4:6]):  # How many there are.
        return _ICONS[content[:4]]
    if content[:2] == b"BM" and content[14:18] in _BMP_HEADERS:
        return Kind("a BMP", "BMP")
    if re.match(rb"P[1-7fF]\s|Pf\s|PF\s", content):
        return PPM
    if re.match(rb"(?s)\x0a[\0\2\3\5][\0\1]", content):
        return Kind("a PCX", "PCX")
    if content[128:132] == b"DICM":
        return Kind("a DICOM picture", advice=_CONVERT)
    return _TGA if _is_tga(content) else None


_ICONS = {
    b"\0\0\1\0": Kind("an ICO", "ICO"),
    b"\0\0\2\0": Kind("a CUR", "CUR"),
}
_BMP_HEADERS = tuple(
    size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)
)


def _is_tga(content: bytes) -> bool:
    if content[-18:-2] == b"TRUEVISION-XFILE":
        return True
    if len(content) < 19 or content[1] > 1 or content[2] not in (1, 2, 3, 9, 10, 11):
        return False
    return (
        content[16] in (8, 15, 16, 24, 32)
        and any(content[12:14])
        and any(content[14:16])
        and not content[17] & 0xC0
    )


def _of_text(start: bytes) -> Kind | None:
    if b"\0" in start:
        return None
    if _MARKUP.match(start):
        lower = start.lower()
        if b"<svg" in lower:
            return _SVG
        return _HTML if b"<html" in lower or b"<!doctype html" in lower else _TEXT
    try:
        start[:-4].decode()  # The last character may be cut.
    except UnicodeDecodeError:
        return None
    is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    return _TEXT if is_text else None
