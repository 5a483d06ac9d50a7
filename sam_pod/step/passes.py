"""One forward and backward pass of a replica over some of its examples."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sam_pod import sam
from sam_pod.data import augment
from sam_pod.data.input.batches import Batch
from sam_pod.machines import groups, replicas
from sam_pod.models import dropout, gates
from sam_pod.sam import directions
from sam_pod.sam.gradients import Mask
from sam_pod.sam.variant import Variant
from sam_pod.step import accumulation, losses, optimizers
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

# What a random number is for: the first part of its key.
_DROPOUT, _AUGMENT, _ASCENT, _LEARNER, _GATES = 1, 2, 3, 4, 5


class Examples(NamedTuple):
    """One micro-batch of one replica, augmented."""

    images: tf.Tensor  # [B, H, W, C], float32.
    labels: tf.Tensor  # [B], int32; or [B, K], float32, a part for each class.
    rows: tf.Tensor  # [B], int64: where in the global batch they are.
    # [B, N], the uniform numbers of the network's gates; () for one that has none.
    gates: tf.Tensor | tuple = ()


class Pass(NamedTuple):
    """The means that a forward and a backward pass over some examples give."""

    gradient: list[tf.Tensor]  # For the weights that were watched.
    loss: tf.Tensor
    accuracy: tf.Tensor
    stats: list[tf.Tensor]
    losses: tf.Tensor | tuple  # [B], of each example; () where chunks were taken.


def micro_batches(batch: Batch, step: tf.Tensor, recipe: Recipe) -> list[Examples]:
    """Return this replica's batch augmented, in `recipe.micro_batches` equal parts.

    Args:
        batch: This replica's batch.
        step: The number of updates made so far.
        recipe: The parts of the step.
    """
    size, count = batch.images.shape[0], recipe.micro_batches
    group = recipe.groups.among(replicas.count())
    rows = groups.rows(replicas.index(), size, group, count)
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
    splits = [tf.split(t, count) for t in tf.nest.flatten(whole)]
    return [
        tf.nest.pack_sequence_as(whole, list(parts))
        for parts in zip(*splits, strict=True)
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
    key = random_key(recipe.seed, _AUGMENT, step)
    augmentation = recipe.augmentation
    draws = augment.draws(key, global_batch_size, augmentation.num_draws)
    draws = augmentation.of_rows(draws, rows)
    images = recipe.training_images(images, draws)
    if augmentation.mix is not None:
        images, labels = augmentation.mix(images, labels, draws)
    return Examples(images, labels, rows, _gates(rows, global_batch_size, step, recipe))


def _gates(
    rows: tf.Tensor, global_batch_size: int, step: tf.Tensor, recipe: Recipe
) -> tf.Tensor | tuple:
    """Return what a network's gates take for rows of a global batch."""
    count = recipe.network.num_gates
    if not count:
        return ()
    key = random_key(recipe.seed, _GATES, step)
    drawn = augment.draws(key, global_batch_size, max(count, augment.NUM_DRAWS))
    return tf.gather(drawn[:, :count], rows)


def run(
    weights: list[tf.Tensor],
    examples: Examples,
    values: state_lib.Values,
    recipe: Recipe,
    watched: Mask = None,
    *,
    true_gradient: bool = False,
) -> Pass:
    """Return the gradient at `weights` of the mean loss, and what else is seen there.

    Statistics that a pass does not move, such as those of a frozen layer, come back as
    the very tensors of `values`.

    Args:
        weights: Where the gradient is taken.
        examples: The micro-batch.
        values: The state before the step.
        recipe: What the step is made of.
        watched: The weights whose gradient is wanted.
        true_gradient: Whether a network's gates scale gradients as they do activations.
    """
    if recipe.accumulate_steps == 1:
        return _run_at_once(
            weights, examples, values, recipe, watched, true_gradient=true_gradient
        )
    chunks = tf.nest.map_structure(
        lambda t: tf.reshape(t, [recipe.accumulate_steps, -1, *t.shape[1:]]), examples
    )
    has_moved = set()

    def of_chunk(chunk: tf.Tensor) -> Pass:
        part = tf.nest.map_structure(lambda t: t[chunk], chunks)
        result = _run_at_once(
            weights, part, values, recipe, watched, true_gradient=true_gradient
        )
        pairs = enumerate(zip(result.stats, values.stats, strict=True))
        has_moved.update(i for i, (new, old) in pairs if new is not old)
        return result._replace(losses=())

    scalar = tf.zeros([], weights[0].dtype)
    found = accumulation.mean(
        of_chunk,
        recipe.accumulate_steps,
        like=Pass(sam.select(weights, watched), scalar, scalar, values.stats, ()),
    )
    stats = enumerate(zip(found.stats, values.stats, strict=True))
    return found._replace(
        stats=[new if i in has_moved else old for i, (new, old) in stats]
    )


def at_ascent(
    ascent: list[tf.Tensor],
    examples: Examples,
    clean: Pass,
    values: state_lib.Values,
    recipe: Recipe,
    variant: Variant,
) -> Pass:
    """Return the gradient at w + e of a micro-batch, or of its hardest part: ESAM's.

    Hard are the examples whose loss rose most; their number is rounded down. The loss
    that comes back is the mean of all of them.

    Args:
        ascent: e, of the weights that are perturbed.
        examples: The micro-batch.
        clean: Its pass at w.
        values: The state before the step.
        recipe: What the step is made of.
        variant: Who takes the step.
    """
    weights = sam.perturb(values.weights, ascent, variant.perturbs)
    if variant.part == 1:
        return run(weights, examples, values, recipe)
    there = _run_at_once(weights, examples, values, recipe, ())
    count = max(int(variant.part * examples.images.shape[0]), 1)
    _, places = tf.math.top_k(there.losses - clean.losses, count, sorted=False)
    places = tf.sort(places)  # In the order of the batch, whatever the device.
    hardest = tf.nest.map_structure(lambda t: tf.gather(t, places), examples)
    found = _run_at_once(
        *(weights, hardest, values, recipe, None),
        rows=_rows(examples)._replace(chosen=places),
        part=count / examples.images.shape[0],
    )
    return found._replace(loss=there.loss)


def _run_at_once(
    weights: list[tf.Tensor],
    examples: Examples,
    values: state_lib.Values,
    recipe: Recipe,
    watched: Mask,
    *,
    rows: dropout.Rows | None = None,
    true_gradient: bool = False,
    part: float = 1.0,  # The share of a micro-batch's examples that these are.
) -> Pass:
    key = random_key(recipe.seed, _DROPOUT, values.step)
    parts = replicas.count() * recipe.micro_batches * recipe.accumulate_steps
    more = {"rows": rows or _rows(examples), "examples_per_example": parts / part}
    if tf.is_tensor(examples.gates):
        more["gates"] = gates.Drawn(examples.gates, true_gradient)

    def loss_fn(weights: list[tf.Tensor]) -> tuple[tf.Tensor, tuple]:
        outputs = recipe.network.apply(
            weights, values.stats, examples.images, key=key, **more
        )
        each = losses.cross_entropy(outputs.logits, examples.labels)
        loss = tf.reduce_mean(each)
        objective = loss + outputs.penalty
        if recipe.weight_decay and recipe.optimizer.decays_in_loss:
            objective += optimizers.l2_penalty(
                weights,
                recipe.weight_decay,
                over_all=recipe.decays_all,
                kernels=recipe.kernels,
            )
        return objective, (loss, each, outputs)

    _, gradient, (loss, each, outputs) = sam.batch_gradient(loss_fn, weights, watched)
    correct = losses.correct(outputs.logits, examples.labels)
    accuracy = tf.cast(tf.reduce_mean(correct), loss.dtype)
    return Pass(gradient, loss, accuracy, outputs.stats, each)


def moved(stats: Sequence[list[tf.Tensor]], old: list[tf.Tensor]) -> list[int]:
    """Return which floating statistics are not the tensors that they were."""
    return [
        i
        for i, before in enumerate(old)
        if before.dtype.is_floating and any(new[i] is not before for new in stats)
    ]


def ascent_keys(step: tf.Tensor, recipe: Recipe, micro_batch: int) -> directions.Keys:
    """Return what the ascent of a micro-batch may draw random numbers from."""
    group = replicas.index() // recipe.groups.among(replicas.count())
    learner = group * recipe.micro_batches + micro_batch
    of_step = random_key(recipe.seed, _ASCENT, step)
    return directions.Keys(of_step, random_key(recipe.seed, _LEARNER, step, learner))


def _rows(examples: Examples) -> dropout.Rows:
    """Return the rows of some examples, which follow each other."""
    return dropout.Rows(examples.rows[0], examples.images.shape[0])


def random_key(seed: int, purpose: int, *parts: tf.Tensor) -> tf.Tensor:
    """Return the int32 `[2]` key of (seed, purpose, parts): no state, no order."""
    key = tf.constant([seed, purpose], tf.int32)
    for part in parts:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(part, tf.int32))
    return key
