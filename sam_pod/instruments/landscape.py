"""Slices of the loss along random directions, normalized filter by filter.

After Li, Xu, Taylor, Studer and Goldstein, arXiv 1712.09913, with the usual options of
its code: a filter is all weights of one output channel, the last axis of a kernel;
biases, slopes and the weights of normalizations do not move. Two directions are
independent, not made orthogonal.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.instruments.subject import Subject, tensors
from sam_pod.instruments.sweep import Sweep
from sam_pod.machines import eager, replicas
from sam_pod.sam.roles import Role
from sam_pod.step import losses

_SEED = 4  # What the seed of a direction is for.


def direction(
    weights: Sequence[np.ndarray], roles: Sequence[Role], seed: int, number: int = 0
) -> list[np.ndarray]:
    """Return a random direction, each filter of which is as long as that of w.

    Args:
        weights: w.
        roles: The role of each; what is no kernel of two dimensions has zeros.
        seed: The seed.
        number: Which of the directions of that seed.
    """
    rng = np.random.default_rng([seed, _SEED, number])
    drawn = [rng.normal(size=w.shape) for w in weights]
    return [
        _filters(w, x) if role is Role.KERNEL and w.ndim > 1 else np.zeros_like(w)
        for w, x, role in zip(weights, drawn, roles, strict=True)
    ]


def _filters(weight: np.ndarray, random: np.ndarray) -> np.ndarray:
    axes = tuple(range(weight.ndim - 1))
    wanted = np.sqrt(np.square(weight, dtype=np.float64).sum(axes))
    length = np.sqrt(np.square(random).sum(axes))
    return (random * (wanted / (length + 1e-10))).astype(weight.dtype)


class Slice:
    """The loss at w + a d, or at w + a d + b e, on a grid of a and b."""

    def __init__(
        self, subject: Subject, batch_size: int, points: int, dimensions: int, seed: int
    ) -> None:
        """Take the grid.

        Args:
            subject: What is measured.
            batch_size: The examples of a batch over all replicas.
            points: The points along a direction, odd, from -1 to 1.
            dimensions: 1 or 2.
            seed: The seed of the directions.
        """
        self._subject, self._dimensions, self._seed = subject, dimensions, seed
        self.along = np.linspace(-1, 1, points)
        self.along[points // 2] = 0.0  # Exactly.
        axes = np.meshgrid(*[self.along] * dimensions, indexing="ij")
        self._grid = np.stack([axis.ravel() for axis in axes], 1).astype(np.float32)
        with subject.runtime.strategy.scope(), eager.settled():
            self._directions = [
                [tf.Variable(tf.zeros(v.shape)) for v in subject.weights]
                for _ in range(dimensions)
            ]
        width = 2 * len(self._grid)
        self._sweep = Sweep(subject, subject.split, batch_size, self._program, width)

    def __call__(self) -> dict[str, Any]:
        """Return losses and accuracies: `[points]`, or `[points, points]`."""
        weights = [variable.numpy() for variable in self._subject.weights]
        roles = self._subject.recipe.network.roles()
        for number, variables in enumerate(self._directions):
            along = direction(weights, roles, self._seed, number)
            eager.assign(variables, along)
        sums = self._sweep().astype(np.float64).sum(0)
        means = sums / self._subject.split.num_examples
        shape = [len(self.along)] * self._dimensions
        loss, accuracy = (half.reshape(shape) for half in np.split(means, 2))
        center = (len(self.along) // 2,) * self._dimensions
        return {
            "along": self.along.tolist(),
            "losses": loss.tolist(),
            "accuracies": accuracy.tolist(),
            "loss_at_weights": float(loss[center]),
            "accuracy_at_weights": float(accuracy[center]),
        }

    def _program(self, batch: Batch) -> tf.Tensor:
        recipe = self._subject.recipe
        weights, stats = tensors(self._subject.weights), tensors(self._subject.stats)
        directions = [tensors(variables) for variables in self._directions]
        images = recipe.evaluation_images(batch.images)

        def at(point: tf.Tensor) -> tf.Tensor:
            moved = weights
            for i, along in enumerate(directions):
                moved = [w + point[i] * d for w, d in zip(moved, along, strict=True)]
            logits = recipe.network.apply(moved, stats, images).logits
            each = losses.cross_entropy(logits, batch.labels)
            correct = losses.correct(logits, batch.labels)
            # What is not real may be infinite: it is left out, not multiplied by 0.
            each = tf.where(batch.mask > 0, each, tf.zeros_like(each))
            return tf.stack([tf.reduce_sum(each), tf.reduce_sum(correct * batch.mask)])

        sums = tf.map_fn(at, tf.constant(self._grid), parallel_iterations=1)
        return replicas.total([tf.reshape(tf.transpose(sums), [-1])])[0]
