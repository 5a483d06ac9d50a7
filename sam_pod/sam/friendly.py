"""Friendly SAM: SAM along what of the gradient is this batch's alone.

    first step:  d = g, m = g
    then:        d = g - sigma m;  m = lambda m + (1 - lambda) g
    e = rho d / ||d||;   take grad L(w + e)

Source: arXiv 2403.12350; github.com/nblt/F-SAM. g is the clean gradient at w;
m is the mean of all learners', so that it is the same on every replica. Defaults of its
class: sigma 1, lambda 0.9; its commands have lambda 0.6 and rho 0.2.
`train/cosine` is that of g and m.
"""

from sam_pod.sam import allowed, directions, gradients
from sam_pod.sam.gradients import Tensors
from sam_pod.sam.variant import Clip, Finished, Memory, Variant, is_filled, keep


def build(sigma: float = 1.0, decay: float = 0.9) -> Variant:
    """Return Friendly SAM; SAM where sigma is 0.

    Args:
        sigma: Share of the mean that is taken off, 0 or above.
        decay: lambda, in [0, 1).

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_at_least("sigma", sigma, 0)
    allowed.check_share("decay", decay, zero=True)

    def direct(gradient, weights, memory, keys) -> directions.Direction:  # noqa: ANN001
        del weights, keys
        mean = memory["mean"]
        own = [g - sigma * m for g, m in zip(gradient, mean, strict=True)]
        seen = (gradients.cosine(gradient, mean),)
        return directions.Direction(own, gradients.squared_norm(own), metrics=seen)

    def finish(clean: Tensors, perturbed: Tensors, memory: Memory, clip: Clip):
        mean = average(memory, clean, decay)
        return Finished(clip(perturbed), memory=keep(memory, mean=mean))

    if sigma == 0:
        return Variant("friendly")
    return Variant(
        "friendly", direct, finish=finish, memory_names=("mean",), metrics=("cosine",)
    )


def average(memory: Memory, gradient: Tensors, decay: float) -> Tensors:
    """Return decay * m + (1 - decay) * g, or g where nothing is remembered."""
    decay = decay * is_filled(memory, gradient[0].dtype)
    pairs = zip(memory["mean"], gradient, strict=True)
    return [decay * m + (1 - decay) * g for m, g in pairs]
