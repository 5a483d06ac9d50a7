"""What happened to the pictures of a data set: counted, and reported in a few lines."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from sam_pod import errors
from sam_pod.data.pictures import careful
from sam_pod.data.stored import names

NAMED = 10  # Pictures that an error names; the others are a number.
_MANY = 1000  # Pictures that take so long that a fault is reported before them.

Fault = tuple[str, str]  # Which picture, and what is wrong: 'is a text, which …'.


@dataclasses.dataclass
class Tally:
    """Counts of the pictures of a shard; all of it can be written as JSON."""

    written: dict[str, int] = dataclasses.field(default_factory=dict)  # By label.
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)  # By label.
    faults: list[Fault] = dataclasses.field(default_factory=list)
    steps: dict[str, int] = dataclasses.field(default_factory=dict)  # By their names.
    converted: dict[str, int] = dataclasses.field(default_factory=dict)  # By kind.

    def count(self, label: int, key: str, picture: careful.Picture) -> None:
        """Take in what happened to one picture."""
        if picture.pixels is None:
            _add(self.left_out, str(label))
            self.faults.append((key, picture.fault))
            return
        _add(self.written, str(label))
        for step in picture.steps:
            _add(self.steps, step)

    def count_converted(self, kind: str) -> None:
        """Take in that a picture of this kind is stored as a PNG."""
        _add(self.converted, kind)


def _add(counts: dict[str, int], key: str, count: int = 1) -> None:
    counts[key] = counts.get(key, 0) + count


def merged(tallies: Iterable[Tally]) -> Tally:
    """Return what all of them have counted."""
    total = Tally()
    for each in tallies:
        for field in ("written", "left_out", "steps", "converted"):
            for key, count in getattr(each, field).items():
                _add(getattr(total, field), key, count)
        total.faults += map(tuple, each.faults)
    return total


class FirstFault:
    """Reports the first picture that cannot be used, where the end is far."""

    def __init__(
        self, place: str, total: int, skip_bad: bool, say: Callable[[str], object]
    ) -> None:
        """Take what will be looked at.

        Args:
            place: The place of the pictures.
            total: The number of pictures.
            skip_bad: Whether such pictures are left out.
            say: A function called with a line, at most once.
        """
        self._place, self._left, self._say = place, total, say
        self._way = "left out" if skip_bad else "no set is written with it"
        self._is_said = False

    def look(self, tally: Tally) -> None:
        """Take in what happened to some pictures."""
        self._left -= sum(tally.written.values()) + len(tally.faults)
        if self._is_said or not tally.faults or self._left < _MANY:
            return
        self._is_said = True
        key, fault = tally.faults[0]
        self._say(
            f"{names.readable(key)} in {self._place} {fault}: {self._way}. All such "
            "pictures are listed at the end."
        )


def decisions(total: Tally, background: str, bits: int) -> list[str]:
    """Return what was decided about the pictures, a line for each kind of decision."""
    lines = {
        careful.TURNED: "{} turned upright, as their EXIF orientation says",
        careful.OPAQUE: f"{{}} with transparency laid over {background} (--background)",
        careful.FIRST: "{} of several frames or pages: the first was taken",
        careful.BITS: f"{{}} of 16 bits taken as {bits} bits (--sixteen_bit)",
    }
    said = [
        line.format(_pictures(total.steps[step])).strip()
        for step, line in lines.items()
        if step in total.steps
    ]
    if total.converted:
        kinds = ", ".join(
            f"{count:,} {kind}" for kind, count in sorted(total.converted.items())
        )
        said.append(
            f"{_pictures(sum(total.converted.values()))} stored as PNG, without loss, "
            f"because TensorFlow does not read them right as they are: {kinds}"
        )
    return said


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def check_faults(faults: Sequence[Fault], total: int, place: str) -> None:
    """Refuse pictures that cannot be used.

    Args:
        faults: All pictures that cannot be used.
        total: The number of pictures that were looked at.
        place: The place of the pictures.

    Raises:
        UserError: there are some; the first are named.
    """
    if not faults:
        return
    way_on = "or leave out all such images with --skip_bad."
    if len(faults) == 1:
        key, fault = names.readable(faults[0][0]), faults[0][1]
        raise errors.UserError(
            f"{key} in {place} {fault}; replace it or delete it, {way_on}"
        )
    by_fault: dict[str, list[str]] = {}
    for key, fault in faults[:NAMED]:
        by_fault.setdefault(fault, []).append(names.readable(key))
    first = "; ".join(
        f"{', '.join(keys)}: {'each ' if len(keys) > 1 else ''}{fault}"
        for fault, keys in by_fault.items()
    )
    rest = len(faults) - NAMED
    raise errors.UserError(
        f"{len(faults):,} of {total:,} images in {place} cannot be used: {first}"
        f"{f'; and {rest:,} others' if rest > 0 else ''}. Replace or delete them, "
        f"{way_on}"
    )


def emptied(total: Tally) -> list[int]:
    """Return the labels of which every picture was left out."""
    return sorted(int(label) for label in total.left_out.keys() - total.written.keys())


def check_classes(
    totals: Mapping[str, Tally], classes: Sequence[str], place: str
) -> list[str]:
    """Refuse that leaving out bad pictures leaves nothing of a class to train on.

    Args:
        totals: The counts of each split.
        classes: The names of the labels.
        place: The place of the pictures.

    Returns:
        A line for each other split in which some class has none left.

    Raises:
        UserError: it does so in train.
    """
    said = []
    for split, total in totals.items():
        if not (empty := emptied(total)):
            continue
        shown = ", ".join(repr(classes[label]) for label in empty[:NAMED])
        shown += f" and {len(empty) - NAMED:,} others" if len(empty) > NAMED else ""
        count = sum(total.left_out[str(label)] for label in empty)
        key, fault = total.faults[0]
        line = (
            f"--skip_bad leaves no image of class {shown} in {split}: all "
            f"{count:,} are left out; {names.readable(key)} {fault}"
        )
        if split == "train":
            raise errors.UserError(
                f"{line}. Convert the images, or delete the class in {place}."
            )
        said.append(line)
    return said
