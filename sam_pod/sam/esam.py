"""ESAM: an ascent of some weights, then the gradient of the hardest examples.

    e = rho / beta * g_kept / ||g_kept||   ('kept': each tensor kept with chance beta)
    e = rho / beta * (g / ||g||)_kept      ('full': the mean over masks is SAM's)
    take grad L(w + e) over the int(gamma B) examples whose loss rose most

Source: arXiv 2110.03141; github.com/dydjw9/Efficient_SAM, whose code has
'kept' and takes one example fewer; the paper's formula is 'full'. Defaults of its run:
beta 0.6, gamma 0.5. A dropped tensor's gradient costs what it did: XLA has no shapes
that depend on chance. gamma is what saves: 1 + 1/3 + gamma of a gradient.
"""

import tensorflow as tf

from sam_pod.sam import allowed, directions, gradients
from sam_pod.sam.variant import Variant


def build(beta: float = 0.6, gamma: float = 0.5, norm: str = "kept") -> Variant:
    """Return ESAM.

    Args:
        beta: Chance of a tensor of weights to be perturbed, in (0, 1].
        gamma: Share of each learner's examples, in (0, 1].
        norm: The tensors whose norm divides the ascent, 'kept' or 'full'.

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_share("beta", beta, one=True)
    allowed.check_share("gamma", gamma, one=True)
    allowed.check_one_of("norm", norm, ("kept", "full"))

    def direct(gradient, weights, memory, keys) -> directions.Direction:  # noqa: ANN001
        del weights, memory
        kept = tf.random.stateless_uniform([len(gradient)], keys.step, alg="philox")
        kept = tf.unstack(kept < beta)
        masked = [
            tf.where(is_kept, g, tf.zeros([], g.dtype))
            for is_kept, g in zip(kept, gradient, strict=True)
        ]
        square = gradients.squared_norm(masked if norm == "kept" else gradient)
        return directions.Direction([g / beta for g in masked], square)

    if beta == 1:
        return Variant("esam", part=gamma)
    return Variant("esam", direct, draws=True, part=gamma)
