"""Losses that are quadratic in the weights, whose gradients are closed forms."""

import numpy as np
import tensorflow as tf


def quadratic(matrix):
    """L(w) = w'Aw / 2 over two tensors that together are w."""

    def loss_fn(weights):
        w = tf.concat([tf.reshape(x, [-1]) for x in weights], 0)
        return 0.5 * tf.tensordot(w, tf.linalg.matvec(matrix, w), 1), "aux"

    return loss_fn


def random_quadratic(seed=0, size=7):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    w = rng.normal(size=size)
    return root @ root.T + np.eye(size), w
