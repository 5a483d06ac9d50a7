"""What replicas exchange in a step: the ascents of groups, the means of all."""

from collections.abc import Sequence

import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import groups, replicas
from sam_pod.step import passes
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


def ascents(
    gradients: list[list[tf.Tensor]], recipe: Recipe
) -> tuple[list[list[tf.Tensor]], list[tf.Tensor]]:
    """Return e(w) of each micro-batch, and the norm that each was divided by.

    A group ascends on its gradient (arXiv 2010.01412, sections 2 and 4.1):
        'global'   the mean over all replicas: N replicas equal one; two gradient-sized
                   all-reduces.
        k          the mean over k neighbouring replicas: two, the first in groups.
        'replica'  the replica's own, the paper's m-sharpness: one all-reduce.
        'norm'     the replica's own, over the root mean square of all norms: one
                   all-reduce and a scalar.
    """
    size = groups.size(recipe.sync, replicas.count())
    count, width = len(gradients), len(gradients[0])
    with tf.name_scope("ascent"):  # The name of its collectives, in profiles as well.
        bucket = replicas.group_mean([g for part in gradients for g in part], size)
    gradients = [bucket[i * width : (i + 1) * width] for i in range(count)]
    squares = [sam.squared_norm(gradient) for gradient in gradients]
    if recipe.sync == "norm":
        with tf.name_scope("norm"):
            mean_square = replicas.mean([_mean(squares)])[0]
        squares = [mean_square] * count
    norms = [tf.sqrt(square) for square in squares]
    ascents = [
        sam.perturbation(gradient, recipe.rho, norm)
        for gradient, norm in zip(gradients, norms, strict=True)
    ]
    return ascents, norms


def descent(
    clean: list[passes.Pass],
    perturbed: list[passes.Pass],
    norms: list[tf.Tensor],
    values: state_lib.Values,
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """Return the means over all examples of gradient, statistics and metrics.

    They are one bucket, so one collective. Statistics that the passes did not move stay
    out: a mean of equal numbers need not be that number.
    """
    gradient = [
        _mean(parts) for parts in zip(*(p.gradient for p in perturbed), strict=True)
    ]
    moved = passes.moved([part.stats for part in clean], values.stats)
    scalars = [
        _mean([part.loss for part in clean]),
        _mean([part.loss for part in perturbed]),
        _mean([part.accuracy for part in clean]),
        *([_mean(norms)] if norms else []),
    ]
    means = [_mean([part.stats[i] for part in clean]) for i in moved]
    with tf.name_scope("descent"):
        bucket = replicas.mean([*gradient, *means, *scalars])
    gradient, rest = bucket[: len(gradient)], bucket[len(gradient) :]
    stats = list(clean[-1].stats)
    for i, value in zip(moved, rest, strict=False):
        stats[i] = value
    return gradient, stats, rest[len(moved) :]


def _mean(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tensors[0] if len(tensors) == 1 else tf.add_n(tensors) / len(tensors)
