"""Every kind of picture: right as Pillow sees it, or refused by its name.

Pictures are made on the spot and pass through `prepare`, raw and encoded, and through
the reader of training.
"""

import dataclasses
import functools
import io
import struct
import types
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import reading
from sam_pod.data.inspect import class_sheet
from sam_pod.data.pictures import decoding, headers, signatures
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.prepare import samples, shards, tallies
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest, records
from tests.data import sets

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


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_the_pixels_that_pillow_sees(kind):
    content = KINDS[kind]
    (found,) = decoding.pictures([content], 3)
    assert not found.fault
    np.testing.assert_array_equal(found.pixels, by_pillow(content))
    # In grey the two libraries may round to either side.
    (gray,) = decoding.pictures([content], 1)
    expected = by_pillow(content, mode="L").astype(int)
    most = 2 if headers.is_jpeg(content) else 1
    assert np.abs(gray.pixels[..., 0] - expected).max() <= most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_stored_is_seen_by_training_as_it_is_meant(kind, channels):
    content = KINDS[kind]
    (found,) = decoding.pictures([content], channels)
    kept, pixels = decoding.storable(content, found.pixels)
    np.testing.assert_array_equal(seen_by_training(kept, channels), pixels)
    assert decoding.is_same(pixels, found.pixels)
    # A set of another's is refused exactly where the bytes had to be other ones.
    assert bool(decoding.misread(content, channels)) == (kept is not content)


def test_what_tensorflow_reads_right_is_kept_byte_for_byte():
    kept = {kind for kind, content in KINDS.items() if not decoding.misread(content, 3)}
    assert kept >= {"JPEG", "CMYK JPEG", "MPO", "palette PNG", "opaque PNG", "BMP"}
    assert kept.isdisjoint({"palette BMP", "transparent PNG", "JPEG turned 6", "WebP"})
    plain = {kind for kind, content in KINDS.items() if headers.is_plain(content)}
    assert plain <= kept
    assert plain >= {"JPEG", "grey JPEG", "PNG", "grey PNG", "JPEG turned 1"}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_name(kind):
    content, words = REFUSED[kind]
    (found,) = decoding.pictures([content], 3)
    assert found.pixels is None
    assert "\n" not in found.fault
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.fault)


def test_a_picture_is_known_by_its_content_alone():
    assert signatures.kind_of(KINDS["WebP"]).pillow == "WEBP"
    assert signatures.kind_of(KINDS["old TGA"]).pillow == "TGA"
    assert signatures.kind_of(KINDS["ICO"]).pillow == "ICO"


@pytest.mark.parametrize("background", ["black", "#204060"])
def test_the_background_is_the_one_that_is_asked_for(background):
    rules = rules_lib.PictureRules(background=background)
    for kind in ("transparent PNG", "GIF with a clear colour", "transparent WebP"):
        (found,) = decoding.pictures([KINDS[kind]], 3, rules)
        expected = by_pillow(KINDS[kind], background)
        np.testing.assert_array_equal(found.pixels, expected)


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_of_16_bits_the_highest_that_are_used_are_seen(bits):
    for kind, (content, values) in deep(bits).items():
        expected = np.broadcast_to(values >> (bits - 8), (*values.shape[:2], 3))
        (found,) = decoding.pictures([content], 3, rules_lib.PictureRules(bits=bits))
        np.testing.assert_array_equal(found.pixels, expected, kind)
        (unsaid,) = decoding.pictures([content], 3)
        if bits == 16:
            np.testing.assert_array_equal(unsaid.pixels, expected, kind)
        else:
            assert "say with --sixteen_bit=N" in unsaid.fault
            (bright,) = decoding.pictures([content], 3, rules_lib.PictureRules(bits=16))
            np.testing.assert_array_equal(bright.pixels[..., 0], values[..., 0] >> 8)


def test_a_value_above_the_bits_that_are_said_is_refused():
    content, _ = deep(14)["grey PNG"]
    (found,) = decoding.pictures([content], 3, rules_lib.PictureRules(bits=12))
    assert "needs more than 12 bits: pass --sixteen_bit=14" in found.fault


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


def test_a_tiff_of_16_bits_in_colours_is_right_or_refused():
    rows = [row.astype("<u2").tobytes() for row in DEEP_COLORS]
    (found,) = decoding.pictures([deep_tiff(rows, 16, 3, SIZE)], 3)
    np.testing.assert_array_equal(found.pixels, DEEP_COLORS >> 8)
    dark = [row.astype("<u2").tobytes() for row in DEEP_COLORS >> 4]
    for bits in (0, 12):  # Pillow does not give the bits that would be needed.
        rules = rules_lib.PictureRules(bits=bits)
        (found,) = decoding.pictures([deep_tiff(dark, 16, 3, SIZE)], 3, rules)
        assert "the highest seem not to be used: convert it" in found.fault
    rules = rules_lib.PictureRules(bits=16)
    (found,) = decoding.pictures([deep_tiff(dark, 16, 3, SIZE)], 3, rules)
    np.testing.assert_array_equal(found.pixels, DEEP_COLORS >> 12)


def test_a_tiff_that_says_it_has_12_bits_needs_no_rule():
    values = DEEP[:, :4] >> 4
    rows = [
        int("".join(f"{value:012b}" for value in row), 2).to_bytes(6, "big")
        for row in values
    ]
    (found,) = decoding.pictures([deep_tiff(rows, 12, 1, (4, len(rows)))], 1)
    np.testing.assert_array_equal(found.pixels[..., 0], values >> 4)


def test_a_clear_value_of_16_bits_is_clear():
    values = DEEP.copy()
    values[0, 0] = 777
    size = struct.pack(">IIBBBBB", *SIZE, 16, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    content += chunk(b"tRNS", struct.pack(">H", 777))
    content += chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (found,) = decoding.pictures([content], 1)
    expected = (values >> 8).astype(np.uint8)
    expected[0, 0] = 255
    np.testing.assert_array_equal(found.pixels[..., 0], expected)


@pytest.mark.parametrize("value", ["7", "17", "most", "-1", ""])
def test_a_wrong_number_of_bits_is_refused(value):
    with pytest.raises(errors.UserError, match=r"`sixteen_bit` is .* 4,095"):
        shards.check(0, shards.ShardOptions(sixteen_bit=value))


def test_a_background_that_is_no_colour_is_refused():
    with pytest.raises(errors.UserError, match=r"`background` is 'whit'; .*white"):
        shards.check(0, shards.ShardOptions(background="whit"))


def tree(root, train, test=None):
    """Write pictures as files of train/<class> and test/<class>, all called .jpg."""
    for split, found in (("train", train), ("test", test or train)):
        for name, contents in found.items():
            (root / split / name).mkdir(parents=True)
            for index, content in enumerate(contents):
                (root / split / name / f"{index:02d}.jpg").write_bytes(content)
    return str(root)


ALL_OF_ONE_SIZE = {
    kind: content
    for kind, content in KINDS.items()
    if by_pillow(content).shape == (*SIZE[::-1], 3)
}


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_all_kinds_are_trained_on_as_pillow_sees_them(tmp_path, encoding):
    contents = list(ALL_OF_ONE_SIZE.values())
    source = tree(tmp_path / "source", {"a": contents}, {"a": contents[:2]})
    options = shards.ShardOptions(encoding=encoding)
    report = shards.write_with(images.read(source), str(tmp_path / "set"), 1, options)
    made = report.manifest
    path = str(tmp_path / "set" / made.splits["train"][0].file)
    serialized = list(tf.data.TFRecordDataset(path))
    meant = np.array([by_pillow(content) for content in contents])

    if encoding == "raw":
        split = reading.Reader(str(tmp_path / "set"), made, "train", reading.AS_STORED)
        seen, _ = split._parse_plain(tf.stack(serialized))
        np.testing.assert_array_equal(seen, meant)
    view = reading.View(image_size=SIZE[1])
    split = reading.Reader(str(tmp_path / "set"), made, "train", view)
    parse = tf.function(split.parse)
    middle = slice((SIZE[0] - SIZE[1]) // 2, (SIZE[0] + SIZE[1]) // 2)
    for example, expected, kind in zip(serialized, meant, ALL_OF_ONE_SIZE, strict=True):
        image, _ = parse(example)
        seen, right = image.numpy().astype(int), expected[:, middle]
        is_kept = encoding == "encoded" and headers.is_plain(ALL_OF_ONE_SIZE[kind])
        if is_kept and headers.is_jpeg(ALL_OF_ONE_SIZE[kind]):
            # At the border of a part chroma has no neighbours.
            seen, right = seen[:, 1:-1], right[:, 1:-1]
        np.testing.assert_array_equal(seen, right, kind)

    pixels = meant.reshape(-1, 3) / 255
    np.testing.assert_allclose(made.mean, pixels.mean(0), atol=1e-9)
    np.testing.assert_allclose(made.std, pixels.std(0), atol=1e-9)
    # The contact sheet is drawn of the same.
    stored_images = [
        tf.train.Example.FromString(example.numpy())
        .features.feature["image"]
        .bytes_list.value[0]
        for example in serialized
    ]
    for found, expected in zip(
        class_sheet._decoded(made, stored_images), meant, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_what_is_decided_is_said_and_stored(tmp_path):
    kinds = ("JPEG", "transparent PNG", "JPEG turned 3", "palette BMP", "animated WebP")
    source = tree(tmp_path / "source", {"a": [KINDS[kind] for kind in kinds]})
    for encoding, converted in (("raw", False), ("encoded", True)):
        folder = str(tmp_path / encoding)
        options = shards.ShardOptions(encoding=encoding)
        made = shards.write_with(images.read(source), folder, 2, options).manifest
        expected = [
            "2 pictures turned upright, as their EXIF orientation says",
            "2 pictures with transparency laid over white (--background)",
            "2 pictures of several frames or pages: the first was taken",
        ]
        if converted:
            expected.append(
                "8 pictures stored as PNG, without loss, because TensorFlow does not "
                "read them right as they are: 2 BMP, 2 JPEG, 2 PNG, 2 WebP"
            )
        assert list(made.decisions) == expected


def test_plain_pictures_need_no_decision(tmp_path):
    source = tree(tmp_path / "source", {"a": [KINDS["JPEG"], KINDS["opaque PNG"]]})
    assert shards.write(images.read(source), str(tmp_path / "set")).decisions == ()


def test_how_many_bits_are_used_is_seen_in_the_set(tmp_path):
    content, values = deep(12)["grey PNG"]
    source = tree(tmp_path / "source", {"a": [content, KINDS["PNG"]]})
    made = shards.write(images.read(source), str(tmp_path / "set"))
    assert made.decisions == ("2 pictures of 16 bits taken as 12 bits (--sixteen_bit)",)
    both = np.concatenate(
        [np.repeat(values >> 4, 3, -1), by_pillow(KINDS["PNG"])], axis=0
    )
    np.testing.assert_allclose(made.mean, both.mean((0, 1)) / 255, atol=1e-9)
    options = shards.ShardOptions(sixteen_bit="full")
    dark = shards.write_with(images.read(source), str(tmp_path / "dark"), 1, options)
    assert dark.manifest.decisions == () and dark.manifest.mean[0] < made.mean[0]


def test_one_bright_picture_that_darkens_all_others_is_said(tmp_path):
    dark, bright = deep(10)["grey PNG"][0], deep(16)["grey PNG"][0]
    source = tree(tmp_path / "source", {"a": [dark] * 4 + [bright]})
    (line,) = shards.write(images.read(source), str(tmp_path / "set")).decisions
    assert "4 of 5 pictures of 16 bits that were looked at need at most 10" in line
    assert "--sixteen_bit=10 --skip_bad" in line
    options = shards.ShardOptions(sixteen_bit="10", skip_bad=True)
    report = shards.write_with(images.read(source), str(tmp_path / "ten"), 1, options)
    assert report.skipped == ("train/a/04.jpg", "test/a/04.jpg")


@pytest.mark.parametrize("count", [1, 6, 33, 100])
def test_each_sample_is_looked_at_once_and_no_empty_range_is_read(count):
    ranges = []

    def read(start, stop):
        ranges.append((start, stop))
        return [records.Item(str(i), None, 0) for i in range(start, stop)]

    split = types.SimpleNamespace(num_examples=count, read=read)
    source = types.SimpleNamespace(splits={"train": split})
    assert samples.bits(source, "auto") == (0, "")
    rows = [row for start, stop in ranges for row in range(start, stop)]
    assert all(start < stop for start, stop in ranges)
    assert rows == sorted(set(rows)) and len(rows) == min(count, 32)


def test_all_faults_are_counted_and_the_first_ten_named(tmp_path):
    bad = [REFUSED["HEIC"][0]] * 8 + [b""] * 5
    source = tree(tmp_path / "source", {"a": [KINDS["JPEG"], *bad]}, {"a": bad[:1]})
    with pytest.raises(errors.UserError) as raised:
        shards.write_with(images.read(source), str(tmp_path / "set"), 3)
    text = str(raised.value)
    assert f"14 of 15 images in {source} cannot be used: train/a/01.jpg, " in text
    assert "train/a/08.jpg: each is a HEIC picture" in text
    assert "train/a/09.jpg, train/a/10.jpg: each is an empty file" in text
    assert "train/a/11.jpg" not in text and "and 4 others. Replace or delete" in text
    assert "--skip_bad" in text and "\n" not in text


def test_the_first_fault_is_said_where_much_is_left(tmp_path, monkeypatch):
    bad = [REFUSED["HEIC"][0]]
    good = [KINDS["JPEG"]] * 4
    source = tree(tmp_path / "source", {"a": [*bad, *good]}, {"a": [*bad, *good]})
    said = []

    def write(name):
        options = shards.ShardOptions(skip_bad=True)
        place = str(tmp_path / name)
        read = images.read(source)
        return shards.write_with(read, place, 2, options, say=said.append)

    write("short")
    assert not said
    monkeypatch.setattr(tallies, "_MANY", 2)
    report = write("long")
    assert len(report.faults) == 2
    assert len(said) == 1
    assert "/a/00.jpg in" in said[0] and "HEIC" in said[0] and "left out" in said[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_is_left_without_images_is_said(tmp_path, split):
    good, bad = [KINDS["JPEG"]] * 2, [REFUSED["HEIC"][0]] * 2
    found = {"train": {"a": good, "b": good}, "test": {"a": good, "b": good}}
    found[split]["b"] = bad
    source = images.read(tree(tmp_path / "source", **found))
    options = shards.ShardOptions(skip_bad=True)
    words = f"leaves no image of class 'b' in {split}: all 2 are left out"
    if split == "test":
        report = shards.write_with(source, str(tmp_path / "set"), 1, options)
        assert words in report.manifest.decisions[0]
        assert len(report.skipped) == 2 and "HEIC" in report.faults[0][1]
        return
    with pytest.raises(errors.UserError, match=f"{words}; train/b/00.jpg is a HEIC"):
        shards.write_with(source, str(tmp_path / "set"), 1, options)


def test_a_class_whose_name_is_not_utf_8_gets_one_that_is(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    source = tree(tmp_path / "source", {name: [KINDS["JPEG"]], "x": [KINDS["JPEG"]]})
    made = shards.write(images.read(source), str(tmp_path / "set"))
    assert made.classes == ("caf\xe9", "x")
    assert "not UTF-8 in the names of classes" in made.decisions[0]
    tf.constant(made.classes)
    (tmp_path / "source/train" / "caf\xe9").mkdir()
    (tmp_path / "source/train" / "caf\xe9" / "0.jpg").write_bytes(KINDS["JPEG"])
    with pytest.raises(errors.UserError, match="both called 'caf\xe9'"):
        shards.write(images.read(source), str(tmp_path / "other"))


def test_an_old_set_of_such_names_is_read_with_those_that_can_be_written(tmp_path):
    made = sets.write(tmp_path / "set", [sets.noisy(0)] * 6)
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    old = dataclasses.replace(made, classes=(name, *made.classes[1:]))
    (tmp_path / "set" / manifest.FILE_NAME).write_text(old.to_json())
    read = manifest.read(str(tmp_path / "set"))
    assert read.classes == ("caf\xe9", *made.classes[1:])


def test_an_old_set_is_shown_as_training_sees_it(tmp_path):
    # One that was prepared before pictures were looked at with care.
    content = KINDS["transparent PNG"]
    made = sets.write(tmp_path / "set", [content] * 6)
    (shown,) = class_sheet._decoded(made, [content])
    np.testing.assert_array_equal(shown, seen_by_training(content))
    assert (shown != by_pillow(content)).any()
