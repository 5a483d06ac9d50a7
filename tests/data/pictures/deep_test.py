"""Pictures of 16 bits: which of them are used, and what is refused."""

import struct
import zlib

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.pictures import decoding
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.prepare import shards
from tests.data.pictures.kinds import DEEP, DEEP_COLORS, SIZE, chunk, deep, deep_tiff


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
