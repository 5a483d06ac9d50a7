"""Random: the paper's control, an ascent of SAM's length along a random direction.

    z ~ N(0, I),  e = rho * z / ||z||;   take grad L(w + e)

Source: arXiv 2010.01412, appendix C.5, at SAM's rho; no official code. There p = 2 and
p = inf beat it. One gradient and a forward pass at w, which the loss and the statistics
of BatchNorm are of.
"""

import tensorflow as tf

from sam_pod.sam import directions, gradients
from sam_pod.sam.variant import Variant


def build() -> Variant:
    """Return the control."""
    return Variant("random", _direct, draws=True, is_blind=True, clean_pass=1 / 3)


def _direct(gradient, weights, memory, keys) -> directions.Direction:  # noqa: ANN001
    del gradient, memory
    noise = []
    for i, weight in enumerate(weights):
        key = tf.random.experimental.stateless_fold_in(keys.learner, i)
        drawn = tf.random.stateless_normal(weight.shape, key, alg="philox")
        noise.append(tf.cast(drawn, weight.dtype))
    return directions.Direction(noise, gradients.squared_norm(noise))
