"""What a run will cost: gradients of a global batch for each step, from its config.

That is what `Variant.passes` of sam/variant.py says of the member, without TensorFlow.
A forward pass counts a third of a gradient.
"""

import ml_collections

from sam_pod.config import window


def mean(config: ml_collections.ConfigDict) -> float:
    """Return the mean over the steps of a run; it depends on sam.start and sam.end."""
    sam = config.sam
    if not sam.rho or sam.variant == "msam" or _is_plain(sam):
        return 1.0
    opens = window.of(config)
    share = (opens.end - opens.start) / config.num_epochs / sam.every
    return 1 + share * (_of_member(config) - 1)


def _is_plain(sam: ml_collections.ConfigDict) -> bool:
    """Return whether the member's own keys leave nothing of it, as sam/ builds it."""
    if sam.variant == "wsam":
        return sam.wsam.gamma == 0
    is_clean_gsam = sam.variant == "gsam" and sam.gsam.minimizes == "clean"
    return is_clean_gsam and sam.gsam.alpha == 0


def _of_member(config: ml_collections.ConfigDict) -> float:
    sam = config.sam
    if sam.variant == "looksam":
        return 1 + 1 / sam.looksam.k
    if sam.variant == "esam" and sam.esam.gamma < 1:
        return 1 + 1 / 3 + sam.esam.gamma
    if sam.variant == "random":
        return 1 + 1 / 3
    if sam.variant == "sam_on" and not sam.sam_on.reverse:
        return 1 + 2 / 3  # No gradient of kernels at w.
    return 2.0
