"""Every kind of picture: right as Pillow sees it, or refused by its name.

Each passes through `decoding` and through the reader of training.
"""

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.pictures import decoding, headers, signatures
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.prepare import shards
from tests.data.pictures.kinds import KINDS, REFUSED, by_pillow, seen_by_training


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


def test_a_background_that_is_no_colour_is_refused():
    with pytest.raises(errors.UserError, match=r"`background` is 'whit'; .*white"):
        shards.check(0, shards.ShardOptions(background="whit"))
