"""Pictures of every kind, made on the spot, and how they are read."""

import functools
import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from sam_pod.data.pictures import decoding

SIZE = (20, 12)  # Width, height: lying, so that a turn is seen.
_RANDOM = np.random.default_rng(0)
_COARSE = _RANDOM.integers(0, 256, (3, 5, 3), np.uint8)
COLORS = PIL.Image.fromarray(_COARSE).resize(SIZE, PIL.Image.Resampling.BILINEAR)
GRAY = COLORS.convert("L")
PALETTE = COLORS.quantize(16)
_ALPHA = PIL.Image.fromarray(_RANDOM.integers(0, 256, SIZE[::-1], np.uint8))
CLEAR, CLEAR_GRAY = COLORS.copy(), GRAY.copy()
CLEAR.putalpha(_ALPHA)
CLEAR_GRAY.putalpha(_ALPHA)
OTHER = COLORS.transpose(PIL.Image.Transpose.ROTATE_180)
DEEP = _RANDOM.integers(0, 65536, SIZE[::-1], np.uint16)
DEEP_COLORS = _RANDOM.integers(0, 65536, (*SIZE[::-1], 3), np.uint16)


def encoded(image, kind, **options):
    file = io.BytesIO()
    # A copy: saving leaves settings of its own in the image that it was given.
    image.copy().save(file, kind, **options)
    return file.getvalue()


def turned(kind, orientation, **options):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return encoded(COLORS, kind, exif=exif, **options)


def several(kind, image=COLORS, other=OTHER):
    return encoded(image, kind, save_all=True, append_images=[other.copy()])


def by_pillow(content, background="white", mode="RGB"):
    """Return the pixels as Pillow's own functions see them: upright and opaque."""
    with PIL.Image.open(io.BytesIO(content)) as file:
        file.load()
        image = file if file.format == "TIFF" else PIL.ImageOps.exif_transpose(file)
        if image.has_transparency_data:
            over = image.convert("RGBA")
            under = PIL.Image.new("RGBA", over.size, background)
            image = PIL.Image.alpha_composite(under, over)
        return np.asarray(image.convert(mode))


def bmp(image, **options):
    return encoded(image, "BMP", **options)


def png(image, **options):
    return encoded(image, "PNG", **options)


# Each is decoded to just the pixels that Pillow gives.
KINDS = {
    "JPEG": encoded(COLORS, "JPEG"),
    "grey JPEG": encoded(GRAY, "JPEG"),
    "progressive JPEG": encoded(COLORS, "JPEG", progressive=True),
    "CMYK JPEG": encoded(COLORS.convert("CMYK"), "JPEG", quality=95),
    "MPO": several("MPO"),
    "PNG": png(COLORS),
    "grey PNG": png(GRAY),
    "1-bit PNG": png(GRAY.convert("1")),
    "2-bit PNG": png(COLORS.quantize(4), bits=2),
    "4-bit PNG": png(PALETTE, bits=4),
    "palette PNG": png(COLORS.quantize(200)),
    "opaque PNG": png(COLORS.convert("RGBA")),
    "transparent PNG": png(CLEAR),
    "transparent grey PNG": png(CLEAR_GRAY),
    "PNG with a clear colour": png(COLORS, transparency=COLORS.getpixel((0, 0))),
    "PNG with a clear grey": png(GRAY, transparency=GRAY.getpixel((0, 0))),
    "palette PNG with a clear colour": png(PALETTE, transparency=3),
    "1-bit PNG with a clear colour": png(GRAY.convert("1"), transparency=0),
    "animated PNG": several("PNG"),
    "BMP": bmp(COLORS),
    "grey BMP": bmp(GRAY),
    "palette BMP": bmp(PALETTE),
    "1-bit BMP": bmp(GRAY.convert("1")),
    "32-bit BMP": bmp(CLEAR),
    "GIF": encoded(PALETTE, "GIF"),
    "GIF with a clear colour": encoded(PALETTE, "GIF", transparency=3),
    "animated GIF": several("GIF", PALETTE, OTHER.quantize(16)),
    "WebP": encoded(COLORS, "WEBP"),
    "lossless WebP": encoded(COLORS, "WEBP", lossless=True),
    "transparent WebP": encoded(CLEAR, "WEBP", lossless=True),
    "animated WebP": several("WEBP"),
    "TIFF": encoded(COLORS, "TIFF"),
    "grey TIFF": encoded(GRAY, "TIFF"),
    "negative TIFF": encoded(GRAY, "TIFF", tiffinfo={262: 0}),
    "palette TIFF": encoded(PALETTE, "TIFF"),
    "CMYK TIFF": encoded(COLORS.convert("CMYK"), "TIFF"),
    "transparent TIFF": encoded(CLEAR, "TIFF"),
    "TIFF of LZW": encoded(COLORS, "TIFF", compression="tiff_lzw"),
    "TIFF of Deflate": encoded(COLORS, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF of JPEG": encoded(COLORS, "TIFF", compression="jpeg"),
    "fax TIFF": encoded(GRAY.convert("1"), "TIFF", compression="group4"),
    "TIFF of pages": several("TIFF"),
    "AVIF": encoded(COLORS, "AVIF"),
    "transparent AVIF": encoded(CLEAR, "AVIF"),
    "JPEG 2000": encoded(COLORS, "JPEG2000"),
    "JPEG 2000, no box": encoded(COLORS, "JPEG2000", no_jp2=True),
    "ICO": encoded(CLEAR.resize((16, 16)), "ICO"),
    "PPM": encoded(COLORS, "PPM"),
    "PGM": encoded(GRAY, "PPM"),
    "PBM": encoded(GRAY.convert("1"), "PPM"),
    "TGA": encoded(COLORS, "TGA"),
    "transparent TGA": encoded(CLEAR, "TGA"),
    "palette TGA": encoded(PALETTE, "TGA"),
    "packed TGA": encoded(COLORS, "TGA", compression="tga_rle"),
    "old TGA": encoded(COLORS, "TGA")[:-26],
    "PCX": encoded(COLORS, "PCX"),
    "palette PCX": encoded(PALETTE, "PCX"),
    "QOI": encoded(CLEAR, "QOI"),
    "SGI": encoded(COLORS, "SGI"),
    "DDS": encoded(CLEAR, "DDS"),
    **{f"JPEG turned {way}": turned("JPEG", way, quality=95) for way in range(1, 9)},
    **{f"PNG turned {way}": turned("PNG", way) for way in range(1, 9)},
    **{f"WebP turned {way}": turned("WEBP", way, lossless=True) for way in (3, 6)},
    **{f"TIFF turned {way}": turned("TIFF", way) for way in (2, 5, 8)},
    **{f"AVIF turned {way}": turned("AVIF", way) for way in (3, 8)},
    "MPO turned": turned("MPO", 6),
}


@functools.cache
def reader(channels):
    spec = tf.TensorSpec([], tf.string)
    return tf.function(lambda content: decoding.whole(content, channels), [spec])


def seen_by_training(content, channels=3):
    """Return what the graph that training uses makes of stored bytes."""
    return reader(channels)(tf.constant(content)).numpy()


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def huge_png():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def jpeg_of_12_bits():
    content = bytearray(encoded(COLORS, "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    return bytes(content)


def container(brand):
    return struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, brand) + bytes(30)


REFUSED = {
    "HEIC": (container(b"heic"), "is a HEIC picture, which is not read"),
    "JPEG XL": (b"\xff\x0a" + bytes(30), "is a JPEG XL picture"),
    "SVG": (b"<?xml version='1.0'?>\n<svg width='3'/>", "is an SVG drawing"),
    "PDF": (b"%PDF-1.4\n", "is a PDF"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript file"),
    "NumPy": (b"\x93NUMPY\1\0", "is a NumPy array"),
    "raw of a camera": (b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "a camera's raw picture"),
    "CR3": (container(b"crx "), "a camera's raw picture"),
    "TIFF of a preview": (
        encoded(COLORS, "TIFF", tiffinfo={254: 1}),
        "a TIFF whose first page is a preview",
    ),
    "Photoshop": (b"8BPS\0\1" + bytes(30), "is a Photoshop document"),
    "DICOM": (bytes(128) + b"DICM" + bytes(30), "is a DICOM picture"),
    "video": (container(b"isom"), "is a video"),
    "web page": (b"<!DOCTYPE html><html></html>", "is a web page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
    "zip": (b"PK\3\4" + bytes(30), "is a zip archive"),
    "text": (b"this is no image", "is a text, no picture"),
    "nothing": (b"", "is an empty file"),
    "noise": (bytes(range(128, 256)), "is a file of no known kind"),
    "float TIFF": (encoded(GRAY.convert("F"), "TIFF"), "is a TIFF of floats"),
    "32-bit TIFF": (encoded(GRAY.convert("I"), "TIFF"), "whole numbers of 32 bits"),
    "12-bit JPEG": (jpeg_of_12_bits(), "is a JPEG of 12 bits"),
    "huge PNG": (huge_png(), "of more than 178,956,970 pixels"),
    **{
        f"half a {kind}": (encoded(COLORS, kind)[:-80], "is an? .* cut off")
        for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "AVIF")
    },
}


def deep(bits):
    """Return pictures of 16 bits, of which so many are used, and their values."""
    gray, colors = DEEP >> (16 - bits), DEEP_COLORS >> (16 - bits)
    image = PIL.Image.fromarray(gray)
    return {
        "grey PNG": (png(image), gray[..., None]),
        "grey TIFF": (encoded(image, "TIFF"), gray[..., None]),
        "negative TIFF": (
            encoded(PIL.Image.fromarray(65535 - gray), "TIFF", tiffinfo={262: 0}),
            gray[..., None],
        ),
        "grey JPEG 2000": (encoded(image, "JPEG2000"), gray[..., None]),
        "PNG": (tf.io.encode_png(colors).numpy(), colors),
    }


def deep_tiff(rows, bits, samples, size):
    """Write a TIFF of 12 or 16 bits a value by hand, which Pillow cannot write."""
    width, height = size
    data, start = b"".join(rows), 8 + 2 + 12 * 9 + 4
    bits_of = struct.pack(f"<{samples}H", *[bits] * samples)
    where = start if samples > 2 else bits
    fields = [(256, width), (257, height), (258, where), (259, 1)]
    fields += [(262, 2 if samples == 3 else 1), (273, start + len(bits_of))]
    fields += [(277, samples), (278, height), (279, len(data))]
    content = b"II*\0" + struct.pack("<IH", 8, len(fields))
    for tag, value in fields:
        count = samples if tag == 258 else 1
        content += struct.pack("<HHII", tag, 3 if tag == 258 else 4, count, value)
    return content + bytes(4) + bits_of + data
