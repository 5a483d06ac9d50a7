"""Labels that are wrong on purpose, as in Table 4 of the SAM paper.

With probability `rate` a label is drawn again, in one of these kinds:

excluding   from the OTHER classes, each as likely: `rate` is the share of wrong labels
including   from all K classes, the true one among them: rate * (K - 1) / K is wrong
asymmetric  the class that CIFAR-10's is taken for (arXiv 1609.03683): truck for
            automobile, bird for airplane, deer for horse, cat and dog for each other;
            the other five classes keep theirs, so rate / 2 is wrong where all have as
            many examples

Papers call both of the first ones symmetric. Which labels are drawn again depends only
on the seed and the example's index in the source, and is the same for all kinds.
"""

import dataclasses
import hashlib
import struct
from collections.abc import Sequence

from sam_pod import errors
from sam_pod.config import data_rows

EXCLUDING, INCLUDING, ASYMMETRIC = data_rows.NOISE_KINDS
_TAKEN_FOR = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}


@dataclasses.dataclass(frozen=True)
class Noise:
    """How many labels to flip, which, and to what."""

    rate: float
    seed: int
    kind: str = EXCLUDING
    taken_for: tuple[int, ...] = ()  # By the label, where that is asymmetric.

    def flip(self, index: int, label: int, num_classes: int) -> int:
        """Return the label that example `index` gets."""
        words = struct.pack("<QQ", self.seed, index)
        chance, other = struct.unpack(
            "<QQ", hashlib.blake2b(words, digest_size=16).digest()
        )
        if chance >= self.rate * 2.0**64:
            return label
        if self.kind == ASYMMETRIC:
            return self.taken_for[label]
        if self.kind == INCLUDING:
            return other % num_classes
        return (label + 1 + other % (num_classes - 1)) % num_classes

    def to_json(self) -> dict[str, float | int | str]:
        """Return what the manifest says of it."""
        return {"rate": self.rate, "seed": self.seed, "kind": self.kind}


def build(
    rate: float, seed: int, classes: Sequence[str], kind: str = EXCLUDING
) -> Noise | None:
    """Return the noise of that rate, None for none.

    Raises:
        UserError: the rate or the kind is none, or the classes do not allow it.
    """
    if not 0 <= rate <= 1:
        raise errors.UserError(f"`label_noise` is {rate}; it must be from 0 to 1.")
    if not 0 <= seed < 2**63:
        raise errors.UserError(f"`noise_seed` is {seed}; it must be 0 or above.")
    errors.lookup(dict.fromkeys(data_rows.NOISE_KINDS), kind, "label_noise_kind")
    if not rate:
        if kind != EXCLUDING:
            raise errors.UserError(
                f"`label_noise_kind` is {kind!r}, but `label_noise` 0: give the share "
                "of the labels, such as 0.4, or leave the kind out."
            )
        return None
    if len(classes) < 2:
        raise errors.UserError(
            f"`label_noise` is {rate}, but the data have one class: there is no other "
            "label to give."
        )
    taken_for = _taken_for(classes) if kind == ASYMMETRIC else ()
    return Noise(rate, seed, kind, taken_for)


def _taken_for(classes: Sequence[str]) -> tuple[int, ...]:
    lacking = sorted({*_TAKEN_FOR, *_TAKEN_FOR.values()} - set(classes))
    if lacking:
        raise errors.UserError(
            f"`label_noise_kind` is 'asymmetric', which is defined for the classes of "
            f"CIFAR-10, and the data have no class {lacking[0]!r}: take 'excluding' or "
            "'including'."
        )
    return tuple(classes.index(_TAKEN_FOR.get(name, name)) for name in classes)
