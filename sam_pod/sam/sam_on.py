"""SAM-ON: SAM whose ascent moves the normalizations' scales and offsets alone.

    e = rho * g_norm / ||g_norm||, 0 elsewhere;   take grad L(w + e), for all weights

Source: arXiv 2306.04226; github.com/mueller-mp/SAM-ON, which goes by names ('norm',
'bn') and so misses layers that are called otherwise; here the layer decides. The first
pass needs the gradients of these weights alone. rho is much larger than SAM's: 10 for
the adaptive form where ASAM has 1. `reverse` is its control: all weights but these.
`adaptive`: T as in asam.py, of these weights, with eta 0 by default in its commands.
"""

from collections.abc import Sequence

from sam_pod.sam import allowed, asam, directions
from sam_pod.sam.roles import Role
from sam_pod.sam.variant import Variant

_NORMALIZATION = (Role.SCALE, Role.OFFSET)


def build(
    roles: Sequence[Role],
    norm: str = "2",
    *,
    reverse: bool = False,
    adaptive: bool = False,
    eta: float = 0.01,
    layerwise: bool = False,
) -> Variant:
    """Return SAM-ON.

    Args:
        roles: One for each weight, as `roles.of` returns them.
        norm: p of the ball: '2' or 'inf'.
        reverse: Whether all weights but those of normalizations are perturbed.
        adaptive: Whether the ascent is ASAM's.
        layerwise: Whether an adaptive T is one number for each tensor of weights.
        eta: ASAM's eta.

    Raises:
        ValueError: there is no such weight, or a value that it cannot have.
    """
    allowed.check_at_least("eta", eta, 0)
    allowed.check_one_of("norm", norm, ("2", "inf"))
    mask = tuple((role in _NORMALIZATION) != reverse for role in roles)
    if not any(mask):
        has = "no other trainable weight than" if reverse else "no trainable"
        raise ValueError(
            f"no weight is perturbed: the network has {has} scale or offset of a Keras "
            "normalization"
        )
    direct = directions.BY_NORM[norm]
    if adaptive:
        perturbed = [role for role, is_it in zip(roles, mask, strict=True) if is_it]
        direct = directions.scaled(asam.scale(perturbed, eta, layerwise), norm)
    return Variant(
        "sam_on",
        direct,
        perturbs=None if all(mask) else mask,
        # The gradient of a scale needs those of the layers' outputs, not of kernels.
        clean_pass=1.0 if reverse or all(mask) else 2 / 3,
    )
