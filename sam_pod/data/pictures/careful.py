"""One picture of any kind, decoded with care: its right colours, upright, opaque.

Slower than TensorFlow's decoders, so this is for what those may get wrong.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import PIL.Image
import tensorflow as tf

from sam_pod.data.pictures import headers, signatures
from sam_pod.data.pictures import rules as rules_lib

# TensorFlow's default may give other pixels on another processor, and is no faster.
DCT = "INTEGER_ACCURATE"
# The steps that a picture took, as named in `Picture.steps`.
TURNED, OPAQUE, FIRST, BITS = "turned", "opaque", "first", "bits"

_TIFF_ORIENTATION, _TIFF_SUBFILE, _TIFF_PHOTOMETRIC, _TIFF_BITS = 274, 254, 262, 258
_DNG_VERSION = 50706
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_KNOWN_TO_TENSORFLOW = (0, 1, 2)  # Baseline, extended and progressive JPEG.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")

# Pillow's warnings of large pictures and odd metadata: bad ones are refused here.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Picture(NamedTuple):
    """The pixels of some bytes, or what is wrong with them."""

    pixels: np.ndarray | None  # uint8 `[H, W, C]`; None where there is a fault.
    kind: str = ""  # A name such as 'WebP'; '' for a picture that needed no care.
    fault: str = ""  # A fault such as 'is a HEIC picture, which …'.
    steps: tuple[str, ...] = ()


class _Refused(Exception):
    """Why a picture cannot be used, to stand behind its name."""


def decode(content: bytes, channels: int, rules: rules_lib.PictureRules) -> Picture:
    """Return the pixels of a picture, or what is wrong with it."""
    kind = signatures.kind_of(content)
    steps: list[str] = []
    try:
        pixels = _of_channels(_image(content, kind, channels, rules, steps), channels)
    except _Refused as refusal:
        return Picture(None, kind.plain_name, str(refusal))
    return Picture(pixels, kind.plain_name, steps=tuple(steps))


def largest(content: bytes) -> int | None:
    """Return the largest value of a 16-bit picture that does not state its range.

    It is None for any other picture, and for a broken one.
    """
    kind = signatures.kind_of(content)
    try:
        deep = _deep_png(content) if kind == signatures.PNG else _deep(content, kind)
    except _Refused:
        return None
    return None if deep is None else int(deep[..., :3].max(initial=0))


def _image(
    content: bytes,
    kind: signatures.Kind,
    channels: int,
    rules: rules_lib.PictureRules,
    steps: list[str],
) -> PIL.Image.Image:
    if not kind.pillow:
        raise _Refused(_unread(kind))
    if kind == signatures.JPEG and (image := _jpeg(content, channels)):
        return _turned(image, headers.orientation(content), steps)
    with _opened(content, kind) as file:
        if getattr(file, "n_frames", 1) > 1 and kind != signatures.JPEG:
            steps.append(FIRST)
        exif = headers.orientation_of(file.info.get("exif") or b"")
        if kind == signatures.TIFF:  # Pillow itself turns it when it is loaded.
            exif = 1
            turns = file.tag_v2.get(_TIFF_ORIENTATION, 1) in _TURNS
            steps += [TURNED] if turns else []
        if kind == signatures.PNG and (deep := _deep_png(content)) is not None:
            image = PIL.Image.fromarray(_eight_bits(deep, rules, steps))
        else:
            image = _eight_bit_image(file, content, kind, rules, steps)
    return _turned(_opaque(image, rules, steps), exif, steps)


def _unread(kind: signatures.Kind) -> str:
    if not kind.advice:
        if kind is signatures.UNKNOWN:
            return f"is {kind.name}"
        return f"is {kind.name}, no picture that is known"
    return f"is {kind.name}, which is not read: {kind.advice}"


def _jpeg(content: bytes, channels: int) -> PIL.Image.Image | None:
    """Return a JPEG as TensorFlow decodes it; None where only Pillow may be able to."""
    frame = headers.frame(content)
    if frame and frame.components == 4:  # Those TensorFlow makes no grey.
        channels = 3
    try:
        pixels = tf.io.decode_jpeg(content, channels, dct_method=DCT).numpy()
    except tf.errors.OpError as error:
        if frame and frame.precision != 8:
            raise _Refused(
                f"is a JPEG of {frame.precision} bits, which is not read: convert it "
                "to a PNG"
            ) from error
        if frame and frame.process not in _KNOWN_TO_TENSORFLOW:
            return None
        raise _Refused("is a JPEG that is cut off or damaged") from error
    return PIL.Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


@contextlib.contextmanager
def _opened(content: bytes, kind: signatures.Kind) -> Iterator[PIL.Image.Image]:
    """Yield a file opened by Pillow; every failure counts as the picture's.

    Raises:
        _Refused: it cannot be used.
    """
    try:
        with PIL.Image.open(io.BytesIO(content), formats=[kind.pillow]) as file:
            yield file
    except (_Refused, MemoryError):
        raise
    except PIL.Image.DecompressionBombError as error:
        most = 2 * PIL.Image.MAX_IMAGE_PIXELS
        raise _Refused(
            f"is {kind.name} of more than {most:,} pixels: make it smaller"
        ) from error
    except Exception as error:  # Whatever a broken picture makes of it.
        raise _Refused(
            f"is {kind.name} that is cut off, damaged or of a rare variant"
        ) from error


def _eight_bit_image(
    file: PIL.Image.Image,
    content: bytes,
    kind: signatures.Kind,
    rules: rules_lib.PictureRules,
    steps: list[str],
) -> PIL.Image.Image:
    if kind == signatures.TIFF:
        _check_tiff(file)
    file.load()
    if file.mode in _DEEP:
        deep = _deep_values(file, kind)
        if _sample_bits(file, content, kind) < 16:  # It says its own.
            return PIL.Image.fromarray((deep[..., 0] >> 8).astype(np.uint8))
        return PIL.Image.fromarray(_eight_bits(deep, rules, steps))
    if file.mode == "I" and kind == signatures.PPM:  # Pillow scales it to 16 bits.
        return PIL.Image.fromarray((np.asarray(file) >> 8).astype(np.uint8))
    if file.mode in ("I", "F", "LAB", "HSV"):
        what = {"I": "whole numbers of 32 bits or with a sign", "F": "floats"}.get(
            file.mode
        )
        raise _Refused(
            f"is {kind.name} of {what or f'{file.mode} colours'}, whose range is not "
            "known: convert it to 8 or 16 bits"
        )
    if _sample_bits(file, content, kind) == 16:
        _check_highest(file, kind, rules)
    return file.copy()


def _sample_bits(file: PIL.Image.Image, content: bytes, kind: signatures.Kind) -> int:
    """Return how many bits a file says that each of its values has."""
    if kind == signatures.TIFF:
        return max(file.tag_v2.get(_TIFF_BITS, (1,)))
    if kind == signatures.JPEG2000:
        return headers.jpeg2000_bits(content)
    return 8 * content[3] if kind == signatures.SGI else 8


def _check_highest(
    file: PIL.Image.Image, kind: signatures.Kind, rules: rules_lib.PictureRules
) -> None:
    """Refuse colours of 16 bits where the highest 8, all that Pillow gives, are few."""
    extrema = file.convert("RGB").getextrema()
    is_dark = max(high for _, high in extrema) < 128 and not rules.is_full
    if is_dark or (rules.bits and rules.bits < rules_lib.FULL):
        raise _Refused(
            f"is {kind.name} in colours of 16 bits, of which the highest seem not to "
            "be used: convert it to a PNG of 16 bits, or pass --sixteen_bit=full where "
            "it is just dark"
        )


def _check_tiff(file: PIL.Image.Image) -> None:
    """Refuse a TIFF with more pictures than the one that it shows first."""
    tags = file.tag_v2
    if _DNG_VERSION in tags or tags.get(_TIFF_SUBFILE, 0) & 1:
        raise _Refused(
            "is a camera's raw picture, or a TIFF whose first page is a preview: "
            "convert it to JPEG or PNG"
        )


def _deep(content: bytes, kind: signatures.Kind) -> np.ndarray | None:
    if kind not in (signatures.TIFF, signatures.JPEG2000):
        return None
    with _opened(content, kind) as file:
        if file.mode not in _DEEP:
            return None
        if _sample_bits(file, content, kind) < 16:
            return None
        file.load()
        return _deep_values(file, kind)


def _deep_values(file: PIL.Image.Image, kind: signatures.Kind) -> np.ndarray:
    """Return the values of a grey picture, uint16 `[H, W, 1]`."""
    values = np.asarray(file).astype(np.uint16)[..., None]
    if kind == signatures.TIFF:  # Pillow gives 12 bits as they are.
        values = values << (16 - max(file.tag_v2.get(_TIFF_BITS, (16,))))
    is_negative = kind == signatures.TIFF and file.tag_v2.get(_TIFF_PHOTOMETRIC) == 0
    return 65535 - values if is_negative else values


def _deep_png(content: bytes) -> np.ndarray | None:
    """Return a PNG of 16 bits as uint16 `[H, W, 4]`; None where it has 8 at most."""
    if content[24:25] != b"\x10":
        return None
    try:
        return tf.io.decode_png(content, 4, tf.uint16).numpy()
    except tf.errors.OpError as error:
        raise _Refused("is a PNG that is cut off or damaged") from error


def _eight_bits(
    deep: np.ndarray, rules: rules_lib.PictureRules, steps: list[str]
) -> np.ndarray:
    """Return the highest 8 of the bits that are used, of colours and of opacity."""
    colors, opacity = deep[..., :3], deep[..., 3:]
    top, bits = int(colors.max(initial=0)), rules.bits
    if not bits:
        if 0 < top < 1 << 15:
            raise _Refused(
                f"has 16 bits, but no value above {top:,}: say with --sixteen_bit=N "
                "how many bits are used, or =full where it is just dark"
            )
        bits = rules_lib.FULL
    if top >= 1 << bits:
        raise _Refused(
            f"has the value {top:,}, which needs more than {bits} bits: pass "
            f"--sixteen_bit={rules_lib.bits_for(top)} or --sixteen_bit=full"
        )
    if bits < rules_lib.FULL:
        steps.append(BITS)
    parts = [colors >> (bits - 8), opacity >> 8]
    eight = np.concatenate(parts, -1).astype(np.uint8)
    return eight[..., 0] if eight.shape[-1] == 1 else eight


def _opaque(
    image: PIL.Image.Image, rules: rules_lib.PictureRules, steps: list[str]
) -> PIL.Image.Image:
    """Lay a picture over the background where it is transparent."""
    if not image.has_transparency_data:
        return image
    over = image.convert("RGBA")
    if over.getextrema()[3][0] == 255:
        return over.convert("RGB")
    steps.append(OPAQUE)
    under = PIL.Image.new("RGBA", image.size, (*rules.color, 255))
    return PIL.Image.alpha_composite(under, over).convert("RGB")


def _turned(
    image: PIL.Image.Image, orientation: int, steps: list[str]
) -> PIL.Image.Image:
    if orientation not in _TURNS:
        return image
    steps.append(TURNED)
    return image.transpose(_TURNS[orientation])


def _of_channels(image: PIL.Image.Image, channels: int) -> np.ndarray:
    if channels == 1:
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))
