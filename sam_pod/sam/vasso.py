"""VaSSO: SAM along a running mean of the gradients, whose variance is smaller.

    first step:  d = g;   then:  d = (1 - theta) d + theta g
    e = rho d / ||d||;   take grad L(w + e)

Source: arXiv 2309.15639; github.com/BingcongLi/VaSSO. The mean that is
kept is that of all learners, so that it is the same on every replica; each learner adds
its own g to what was kept. Defaults: theta 0.9, rho 0.2 for WRN on CIFAR-100.
`train/cosine` is that of g and what was kept.
"""

from sam_pod.sam import allowed, directions, friendly, gradients
from sam_pod.sam.gradients import Tensors
from sam_pod.sam.variant import Clip, Finished, Memory, Variant, keep


def build(theta: float = 0.9) -> Variant:
    """Return VaSSO; SAM where theta is 1.

    Args:
        theta: Share of the new gradient, in (0, 1].

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_share("theta", theta, one=True)

    def direct(gradient, weights, memory, keys) -> directions.Direction:  # noqa: ANN001
        del weights, keys
        mean = friendly.average(memory, gradient, 1 - theta)
        seen = (gradients.cosine(gradient, memory["mean"]),)
        return directions.Direction(mean, gradients.squared_norm(mean), metrics=seen)

    def finish(clean: Tensors, perturbed: Tensors, memory: Memory, clip: Clip):
        mean = friendly.average(memory, clean, 1 - theta)
        return Finished(clip(perturbed), memory=keep(memory, mean=mean))

    if theta == 1:
        return Variant("vasso")
    return Variant(
        "vasso", direct, finish=finish, memory_names=("mean",), metrics=("cosine",)
    )
