"""Labels that are wrong on purpose: symmetric noise, as in Table 4 of the SAM paper.

With probability `rate` a label is flipped to one of the OTHER classes, each as likely:
the new label never equals the old one, so that `rate` is the share of wrong labels.
(Where a flip may give back the old one, as in some papers, that share is
rate * (K - 1) / K of K classes.) The flip of an example depends only on the seed and on
its index in the source.
"""

import dataclasses
import hashlib
import struct

from sam_pod import errors


@dataclasses.dataclass(frozen=True)
class Noise:
    """How many labels to flip, and which."""

    rate: float
    seed: int

    def flip(self, index: int, label: int, num_classes: int) -> int:
        """Return the label that example `index` gets."""
        words = struct.pack("<QQ", self.seed, index)
        chance, other = struct.unpack(
            "<QQ", hashlib.blake2b(words, digest_size=16).digest()
        )
        if chance >= self.rate * 2.0**64:
            return label
        return (label + 1 + other % (num_classes - 1)) % num_classes


def build(rate: float, seed: int, num_classes: int) -> Noise | None:
    """Return the noise of that rate, None for none.

    Raises:
        UserError: the rate is none, or there are too few classes.
    """
    if not 0 <= rate <= 1:
        raise errors.UserError(f"`label_noise` is {rate}; it must be from 0 to 1.")
    if not 0 <= seed < 2**63:
        raise errors.UserError(f"`noise_seed` is {seed}; it must be 0 or above.")
    if not rate:
        return None
    if num_classes < 2:
        raise errors.UserError(
            f"`label_noise` is {rate}, but the data have one class: there is no other "
            "label to give."
        )
    return Noise(rate, seed)
