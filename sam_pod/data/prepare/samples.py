"""What a few training examples show about all of them, before any is written."""

from collections.abc import Iterator

from sam_pod.data.pictures import careful, decoding, headers
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.stored import records

_MUCH = 4  # Bits: a picture that uses this many fewer becomes nearly black.
_PLACES, _EACH = 8, 4  # Places, evenly spread, and consecutive examples at each.


def first_shape(
    source: records.Source, rules: rules_lib.PictureRules
) -> tuple[int, int, int]:
    """Return the shape of the first image; the writer reports what is no image."""
    train = source.splits["train"]
    for index in range(train.num_examples):
        (item,) = train.read(index, index + 1)
        image = item.image
        if isinstance(image, bytes):
            image = next(decoding.pictures([image], source.channels, rules)).pixels
        if image is not None:
            return tuple(image.shape)
    return (1, 1, source.channels)


def bits(source: records.Source, asked: str) -> tuple[int, str]:
    """Return how many bits of 16-bit pictures are used, for `Rules.bits`.

    With it comes a line where most pictures use far fewer than the brightest, and so
    become dark.

    Args:
        source: The source whose training examples are looked at.
        asked: The user's wish; 'auto' takes what the largest value shows. A picture
            with a larger value is refused when it is written.

    Raises:
        UserError: `asked` is no such thing.
    """
    found = rules_lib.bits_of(asked)
    if found is not None:
        return found, ""
    values = [
        value
        for image in _spread(source.splits["train"])
        if isinstance(image, bytes)
        and not headers.is_plain(image)
        and (value := careful.largest(image)) is not None
    ]
    if not values:
        return 0, ""
    most = rules_lib.bits_for(max(values))
    usual = rules_lib.bits_for(sorted(values)[len(values) // 2])
    if most - usual < _MUCH:
        return most, ""
    fewer = sum(value < 1 << usual for value in values)
    return most, (
        f"{fewer} of {len(values)} pictures of 16 bits that were looked at need at "
        f"most {usual} bits, and one {most}: all are taken as {most}, and most become "
        f"dark; --sixteen_bit={usual} --skip_bad leaves brighter ones out."
    )


def _spread(split: records.SourceSplit) -> Iterator[object]:
    count = split.num_examples
    starts = sorted({count * place // _PLACES for place in range(_PLACES)})
    end = 0
    for start in starts:
        first, end = max(start, end), min(start + _EACH, count)
        if first < end:  # Not every source reads none.
            for item in split.read(first, end):
                yield item.image
