"""WSAM: a weighted sum of the clean loss and its sharpness.

    a = gamma / (1 - gamma)
    coupled:    take (1 - a) g + a g_s
    decoupled:  take g; then w = w - lr * a * (g_s - g)

Source: arXiv 2305.15817; intelligent-machine-learning/atorch.
Defaults: gamma 0.9, decoupled. What is decoupled passes neither through momentum nor
through Adam's scaling. gamma 0.5, coupled, is SAM; gamma 0 the plain optimizer.
"""

from sam_pod.sam import allowed
from sam_pod.sam.gradients import Tensors
from sam_pod.sam.variant import PLAIN, Clip, Descent, Finished, Memory, Variant


def build(gamma: float = 0.9, *, decoupled: bool = True) -> Variant:
    """Return WSAM; the plain optimizer where gamma is 0.

    Args:
        gamma: Weight of the sharpness, in [0, 1).
        decoupled: Whether the sharpness is descended beside the optimizer.

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_share("gamma", gamma, zero=True)
    a = gamma / (1 - gamma)

    def descend(clean: Tensors, perturbed: Tensors) -> Descent:
        pairs = zip(clean, perturbed, strict=True)
        return Descent([(1 - a) * g + a * p for g, p in pairs])

    def finish(clean: Tensors, perturbed: Tensors, memory: Memory, clip: Clip):
        del memory
        clean, perturbed = clip(clean), clip(perturbed)
        pairs = zip(clean, perturbed, strict=True)
        return Finished(clean, correction=[a * (p - g) for g, p in pairs])

    if gamma == 0:
        return PLAIN
    if decoupled:
        return Variant("wsam", finish=finish)
    return Variant("wsam") if a == 1 else Variant("wsam", descend=descend)
