"""One forward and backward pass of a replica over some of its examples."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sam_pod import sam
from sam_pod.data import augment
from sam_pod.data.input.batches import Batch
from sam_pod.machines import groups, replicas
from sam_pod.step import accumulation, losses, optimizers
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

# The purpose of a random number, which is the first part of its key.
_DROPOUT, _AUGMENT = 1, 2


class Examples(NamedTuple):
    """One micro-batch of one replica, augmented."""

    images: tf.Tensor  # [B, H, W, C], float32.
    labels: tf.Tensor  # [B], int32; or [B, K], float32, a part for each class.
    rows: tf.Tensor  # [B], int64: where in the global batch they are.


class Pass(NamedTuple):
    """The means that a forward and a backward pass over some examples give."""

    gradient: list[tf.Tensor]
    loss: tf.Tensor
    accuracy: tf.Tensor
    stats: list[tf.Tensor]


def micro_batches(batch: Batch, step: tf.Tensor, recipe: Recipe) -> list[Examples]:
    """Return this replica's batch augmented, in `recipe.micro_batches` equal parts.

    Args:
        batch: This replica's batch.
        step: The number of updates made so far.
        recipe: The parts of the step.
    """
    size, count = batch.images.shape[0], recipe.micro_batches
    rows = groups.rows(
        replicas.index(), size, groups.size(recipe.sync, replicas.count()), count
    )
    whole = augmented(
        batch.images,
        batch.labels,
        rows,
        size * replicas.count(),
        step=step,
        recipe=recipe,
    )
    if count == 1:
        return [whole]
    return [
        Examples(*parts)
        for parts in zip(*(tf.split(t, count) for t in whole), strict=True)
    ]


def augmented(
    images: tf.Tensor,
    labels: tf.Tensor,
    rows: tf.Tensor,
    global_batch_size: int,
    *,
    step: tf.Tensor,
    recipe: Recipe,
) -> Examples:
    """Return rows of a global batch as training sees them.

    Args:
        images: uint8 `[B, H, W, C]`.
        labels: int32 `[B]`.
        rows: The rows of the global batch that they are, int64 `[B]`.
        global_batch_size: The examples of a step over all replicas.
        step: The number of updates made so far.
        recipe: The parts of the step.
    """
    key = _key(recipe.seed, _AUGMENT, step)
    draws = tf.gather(augment.draws(key, global_batch_size, recipe.num_draws), rows)
    images = recipe.preprocess(images, draws)
    if recipe.mix is not None:
        images, labels = recipe.mix(images, labels, draws)
    return Examples(images, labels, rows)


def run(
    weights: list[tf.Tensor],
    examples: Examples,
    values: state_lib.Values,
    recipe: Recipe,
) -> Pass:
    """Return the gradient at `weights` of the mean loss, and what else is seen there.

    Statistics that a pass does not move, such as a frozen layer's, come back as the
    very tensors of `values`.
    """
    if recipe.accumulate_steps == 1:
        return _run_at_once(weights, examples, values, recipe)
    chunks = [
        tf.reshape(t, [recipe.accumulate_steps, -1, *t.shape[1:]]) for t in examples
    ]
    has_moved = set()

    def of_chunk(chunk: tf.Tensor) -> list[tf.Tensor]:
        part = Examples(*(t[chunk] for t in chunks))
        result = _run_at_once(weights, part, values, recipe)
        pairs = zip(result.stats, values.stats, strict=True)
        has_moved.update(i for i, (new, old) in enumerate(pairs) if new is not old)
        return [*result.gradient, result.loss, result.accuracy, *result.stats]

    scalar = tf.zeros([], weights[0].dtype)
    means = accumulation.mean(
        of_chunk,
        recipe.accumulate_steps,
        like=[*weights, scalar, scalar, *values.stats],
    )
    gradient, (loss, accuracy, *stats) = means[: len(weights)], means[len(weights) :]
    stats = [s if i in has_moved else values.stats[i] for i, s in enumerate(stats)]
    return Pass(gradient, loss, accuracy, stats)


def _run_at_once(
    weights: list[tf.Tensor],
    examples: Examples,
    values: state_lib.Values,
    recipe: Recipe,
) -> Pass:
    # By row, not by replica: the same rows have the same dropout wherever they are.
    key = _key(recipe.seed, _DROPOUT, values.step, examples.rows[0])

    def loss_fn(weights: list[tf.Tensor]) -> tuple[tf.Tensor, tuple]:
        outputs = recipe.network.apply(weights, values.stats, examples.images, key=key)
        loss = tf.reduce_mean(losses.cross_entropy(outputs.logits, examples.labels))
        objective = loss + outputs.penalty
        if recipe.weight_decay and recipe.optimizer.decays_in_loss:
            objective += optimizers.l2_penalty(weights, recipe.weight_decay)
        return objective, (loss, outputs)

    _, gradient, (loss, outputs) = sam.batch_gradient(loss_fn, weights)
    correct = losses.correct(outputs.logits, examples.labels)
    return Pass(
        gradient, loss, tf.cast(tf.reduce_mean(correct), loss.dtype), outputs.stats
    )


def moved(stats: Sequence[list[tf.Tensor]], old: list[tf.Tensor]) -> list[int]:
    """Return which floating statistics are not the tensors that they were."""
    return [
        i
        for i, before in enumerate(old)
        if before.dtype.is_floating and any(new[i] is not before for new in stats)
    ]


def _key(seed: int, purpose: int, *parts: tf.Tensor) -> tf.Tensor:
    """Return the int32 `[2]` key of (seed, purpose, parts): no state, no order."""
    key = tf.constant([seed, purpose], tf.int32)
    for part in parts:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(part, tf.int32))
    return key
