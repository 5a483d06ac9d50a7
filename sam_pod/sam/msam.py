"""Momentum-SAM: one gradient a step, taken where the momentum has just overshot from.

    w~ = w - rho v / ||v||;  take grad L(w~), and step from w

Source: arXiv 2401.12033, algorithm 1; github.com/MarlonBecker/MSAM, for SGD and for
AdamW. v is the momentum of SGD in PyTorch's sign (Keras' is its negative), or AdamW's
first moment: no state of its own, no second gradient, nothing more to exchange. The
loss and BatchNorm's statistics are of w~, as there. rho is larger than SAM's: 3 for
WRN-16-4 on CIFAR-100, where SAM has 0.3; vision transformers need 0 in warmup.
"""

from sam_pod.sam.variant import Variant


def build() -> Variant:
    """Return Momentum-SAM."""
    return Variant("msam", ascends=False, follows_momentum=True)
