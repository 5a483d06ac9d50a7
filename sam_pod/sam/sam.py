"""SAM: the gradient at the worst point of a ball around the weights.

    e = rho * sign(g) |g|^(q-1) / (||g||_q^q)^(1/p),  1/p + 1/q = 1
    take grad L(w + e)

Source: arXiv 2010.01412, equations 2 and 3. The official code has p = 2 alone, which
the paper finds to be the best on CIFAR-10 (appendix C.5). rho = 0.05 there; with
p = inf each weight moves by rho, so that a like rho is smaller by the square root of
their number. `layerwise` gives each tensor of weights a length of its own.
"""

import tensorflow as tf

from sam_pod.sam import allowed, directions
from sam_pod.sam.variant import Variant


def build(norm: str = "2", layerwise: str = "") -> Variant:
    """Return SAM.

    Args:
        norm: p of the ball: '2', 'inf' or '1'.
        layerwise: '' for one norm over all weights; 'trust' or 'unit', see
            `directions.layer_by_layer`.

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_one_of("norm", norm, directions.BY_NORM)
    allowed.check_one_of("layerwise", layerwise, directions.LAYERWISE)
    if layerwise:
        return Variant("sam", directions.layer_by_layer(layerwise))
    return Variant("sam", directions.BY_NORM[norm])


def energy(sigma: float) -> Variant:
    """Return SAM whose radius is min(sigma / ||g||, rho): LE-SAM, arXiv 2605.10183.

    No official code was read: its schedule of sigma is not here.
    """

    def direct(gradient, weights, memory, keys) -> directions.Direction:  # noqa: ANN001
        found = directions.euclidean(gradient, weights, memory, keys)
        norm = tf.sqrt(found.squared_norm) + directions.NORM_EPSILON
        return found._replace(limit=sigma / norm, metrics=(sigma / norm,))

    return Variant("sam", direct, metrics=("rho_limit",))
