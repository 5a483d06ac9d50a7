"""ASAM: SAM in a ball that scales with the weights, as a layer may be scaled freely.

    T = |w| + eta for kernels and scales, 1 for biases and offsets
    e = rho * T^2 g / ||T g||_2   (p = inf: rho * T sign(g));   take grad L(w + e)

Source: arXiv 2102.11600; github.com/SamsungLabs/ASAM, whose T goes by names.
Defaults of its class: rho 0.5, eta 0.01; its commands for CIFAR ran with eta 0, with
which a weight of exactly 0 (a gamma that starts at 0) is not perturbed.
`layerwise`: T = ||w_layer|| (1 + eta), as github.com/mueller-mp/SAM-ON does.
"""

from collections.abc import Sequence

import tensorflow as tf

from sam_pod.sam import allowed, directions, gradients
from sam_pod.sam.gradients import Tensors
from sam_pod.sam.roles import Role
from sam_pod.sam.variant import Variant

_SCALED = (Role.KERNEL, Role.SLOPE, Role.SCALE)


def build(
    roles: Sequence[Role],
    eta: float = 0.01,
    norm: str = "2",
    *,
    layerwise: bool = False,
) -> Variant:
    """Return ASAM.

    Args:
        roles: One for each weight, as `roles.of` returns them.
        eta: Added to |w|.
        norm: p of the ball: '2' or 'inf'.
        layerwise: Whether T is one number for each tensor of weights.

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_at_least("eta", eta, 0)
    allowed.check_one_of("norm", norm, ("2", "inf"))
    return Variant("asam", directions.scaled(scale(roles, eta, layerwise), norm))


def scale(
    roles: Sequence[Role], eta: float, layerwise: bool = False
) -> directions.Scale:
    """Return the function from weights to T; None stands for 1.

    Args:
        roles: One for each weight that is perturbed.
        eta: Added to |w|.
        layerwise: Whether T is one number for each tensor of weights.
    """

    def scales(weights: Tensors) -> list[tf.Tensor | None]:
        if len(weights) != len(roles):
            raise ValueError(
                f"the member was built for {len(roles)} weights, and is given "
                f"{len(weights)}: build it with roles.of(model) as the model is now"
            )
        return [
            None
            if role not in _SCALED
            else gradients.norm([w]) * (1 + eta)
            if layerwise
            else tf.abs(w) + eta
            for w, role in zip(weights, roles, strict=True)
        ]

    return scales
