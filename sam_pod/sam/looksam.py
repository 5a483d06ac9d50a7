"""LookSAM: SAM every k-th step, whose new part of the gradient serves the others.

    t % k == 0:  g_v = g_s - <g_s, g> / ||g||^2 g;   take g_s, keep v = g_v / ||g_v||
    else:        take g + alpha ||g|| v

Source: arXiv 2203.02714, which has no official code; github.com/MarlonBecker/MSAM has
one. Both means are over all learners, so that v is the same on every
replica. Defaults k = 5, alpha = 0.1, tuned there for networks of convolutions; 0.7 is
said of vision transformers. `layerwise` gives each tensor of weights an ascent of its
own length; which formula the paper's Look-LayerSAM has is not known to us.
"""

import numpy as np
import tensorflow as tf

from sam_pod.sam import allowed, directions, gradients
from sam_pod.sam.gradients import NORM_EPSILON, Tensors
from sam_pod.sam.variant import Clip, Finished, Memory, Variant, keep

_ROUNDINGS = 16.0


def build(k: int = 5, alpha: float = 0.1, layerwise: str = "") -> Variant:
    """Return LookSAM; SAM where k is 1.

    Args:
        k: Steps from one ascent to the next.
        alpha: Share of the kept direction, 0 or above.
        layerwise: '', 'trust' or 'unit': see `directions.layer_by_layer`.

    Raises:
        ValueError: a value that it cannot have.
    """
    if k != int(k):
        raise ValueError(f"k is {k!r}; it must be a whole number of steps")
    allowed.check_at_least("k", k, 1)
    allowed.check_at_least("alpha", alpha, 0)
    allowed.check_one_of("layerwise", layerwise, directions.LAYERWISE)

    def reuse(clean: Tensors, perturbed: Tensors, memory: Memory, clip: Clip):
        del perturbed
        scale = alpha * gradients.norm(clean)
        pairs = zip(clean, memory["direction"], strict=True)
        return Finished(clip([g + scale * v for g, v in pairs]))

    direct = directions.layer_by_layer(layerwise) if layerwise else directions.euclidean
    if k == 1:
        return Variant("looksam", direct)
    return Variant(
        "looksam",
        direct,
        finish=_remember,
        memory_names=("direction",),
        period=k,
        between=Variant(
            "looksam, between",
            ascends=False,
            finish=reuse,
            memory_names=("direction",),
        ),
        metrics=("new_part_norm",),
    )


def _remember(
    clean: Tensors, perturbed: Tensors, memory: Memory, clip: Clip
) -> Finished:
    new = gradients.reject(perturbed, clean)
    norm = gradients.norm(new)
    # Where the two are parallel, what is left is rounding, which has no direction.
    epsilon = np.finfo(norm.dtype.as_numpy_dtype).eps
    is_rounding = norm <= _ROUNDINGS * epsilon * gradients.norm(perturbed)
    scale = tf.where(is_rounding, tf.zeros_like(norm), 1 / (norm + NORM_EPSILON))
    direction = [scale * g for g in new]
    return Finished(
        clip(perturbed), memory=keep(memory, direction=direction), metrics=(norm,)
    )
