"""One optimization step on one replica, and the compiled loop around it.

`replica_step` reads as Algorithm 1 of arXiv 2010.01412. It is a pure function from the
values of the state to new values; `compile_loop` runs it under a strategy, many steps
in one call.
"""

from collections.abc import Sequence

import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import groups, replicas
from sam_pod.step import metrics, passes
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


def replica_step(
    values: state_lib.Values, batch: tuple[tf.Tensor, tf.Tensor], recipe: Recipe
) -> tuple[state_lib.Values, tf.Tensor]:
    """Return the values after one step, and the metrics of `metrics.TRAIN`.

    Args:
        values: The state before the step, the same on every replica.
        batch: This replica's (images uint8 `[B, H, W, C]`, labels int32 `[B]`).
        recipe: What the step is made of.
    """
    micro_batches = passes.micro_batches(batch, values.step, recipe)

    # The batch gradient at w. These clean passes alone move BatchNorm's statistics.
    clean = [passes.run(values.weights, part, values, recipe) for part in micro_batches]
    if recipe.rho == 0:
        perturbed, norms = clean, []
    else:
        # The ascents to w + e, equation 2, and the gradients there, equation 3.
        ascents, norms = _ascents([part.gradient for part in clean], recipe)
        perturbed = [
            passes.run(sam.perturb(values.weights, ascent), part, values, recipe)
            for ascent, part in zip(ascents, micro_batches, strict=True)
        ]

    gradient, stats, means = _reduce(clean, perturbed, norms, values)
    learning_rate = recipe.schedule(values.step, values.learning_rate_scale)
    weights, slots = recipe.optimizer.update(
        gradient, values.slots, values.weights, values.step, learning_rate
    )
    new = values._replace(
        step=values.step + 1, weights=weights, stats=stats, slots=slots
    )
    return new, _report(means, gradient, learning_rate, recipe.rho)


def replica_evaluation(
    values: state_lib.Values,
    batch: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    recipe: Recipe,
) -> tf.Tensor:
    """Return the sums of `metrics.evaluation_sums` over all replicas, float32 `[3]`.

    Args:
        values: The state, the same on every replica.
        batch: This replica's (images uint8 `[B, H, W, C]`, labels int32 `[B]`, mask
            float32 `[B]`).
        recipe: What the step is made of.
    """
    images, labels, mask = batch
    outputs = recipe.network.apply(
        values.weights, values.stats, recipe.preprocess(images, None)
    )
    sums = metrics.evaluation_sums(outputs.logits, labels, mask)
    return tf.stack(replicas.total(sums))


def _ascents(
    gradients: list[list[tf.Tensor]], recipe: Recipe
) -> tuple[list[list[tf.Tensor]], list[tf.Tensor]]:
    """Return e(w) of each micro-batch, and the norm that each was divided by.

    What a group ascends on is its gradient (arXiv 2010.01412, sections 2 and 4.1):
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


def _reduce(
    clean: list[passes.Pass],
    perturbed: list[passes.Pass],
    norms: list[tf.Tensor],
    values: state_lib.Values,
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """Return the means over all examples of gradient, statistics and metrics.

    One bucket, so one collective. Statistics that the passes did not move stay out: a
    mean of equal numbers need not be that number.
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


def _report(
    means: list[tf.Tensor],
    gradient: list[tf.Tensor],
    learning_rate: tf.Tensor,
    rho: float,
) -> tf.Tensor:
    loss, perturbed_loss, accuracy, *norm = means
    sam_grad_norm = tf.sqrt(sam.squared_norm(gradient))
    grad_norm = norm[0] if norm else sam_grad_norm
    report = {
        "train/loss": loss,
        "train/perturbed_loss": perturbed_loss,
        "train/sharpness": perturbed_loss - loss,
        "train/accuracy": accuracy,
        "train/grad_norm": grad_norm,
        "train/sam_grad_norm": sam_grad_norm,
        "train/learning_rate": learning_rate,
        "train/rho": tf.constant(rho),
    }
    return tf.stack([tf.cast(report[name], tf.float32) for name in metrics.TRAIN])
