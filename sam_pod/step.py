"""One optimization step on one replica, and the compiled loop around it.

`replica_step` reads as Algorithm 1 of arXiv 2010.01412. It is a pure function from the
values of the state to new values; `compile_loop` runs it under a strategy, many steps
in one call.
"""

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from sam_pod import losses, metrics, optimizers, replicas, sam, schedules
from sam_pod import state as state_lib
from sam_pod.data import augment
from sam_pod.models import network as network_lib

# Of whose batch the gradient is that each replica ascends, and what its norm is
# (arXiv 2010.01412, sections 2 and 4.1): a mean over the gradients, a mean over their
# squared norms.
#   global   the mean gradient of all replicas: N replicas equal one; two gradient-sized
#            all-reduces.
#   replica  the replica's own, the paper's m-sharpness: one all-reduce.
#   norm     the replica's own, divided by the root mean square of all replicas' norms:
#            one all-reduce and a scalar.
SYNCS = {
    "global": (replicas.mean, replicas.own),
    "replica": (replicas.own, replicas.own),
    "norm": (replicas.own, replicas.mean),
}

# What a random number is for: the first part of its key.
_DROPOUT, _AUGMENT = 1, 2

# loop(iterator, num_steps) -> one row of float32 per step, `[num_steps, width]`.
Loop = Callable[[Iterator, tf.Tensor], tf.Tensor]
Preprocess = Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a step is made of; constant during a run."""

    network: network_lib.Network
    optimizer: optimizers.Optimizer
    schedule: schedules.Schedule
    # (uint8 images, draws or None for evaluation) -> float32 images.
    preprocess: Preprocess
    rho: float
    sync: str
    weight_decay: float
    seed: int


def replica_step(
    values: state_lib.Values, batch: tuple[tf.Tensor, tf.Tensor], recipe: Recipe
) -> tuple[state_lib.Values, tf.Tensor]:
    """Return the values after one step, and the metrics of `metrics.TRAIN`.

    Args:
        values: The state before the step, the same on every replica.
        batch: This replica's (images uint8 `[B, H, W, C]`, labels int32 `[B]`).
        recipe: What the step is made of.
    """
    images, labels = _augmented(batch, values.step, recipe)
    key = _key(recipe.seed, _DROPOUT, values.step, replicas.index())

    def loss_fn(weights: list[tf.Tensor]) -> tuple[tf.Tensor, dict]:
        outputs = recipe.network.apply(weights, values.stats, images, key=key)
        loss = tf.reduce_mean(losses.cross_entropy(outputs.logits, labels))
        objective = loss + outputs.penalty
        if recipe.weight_decay and recipe.optimizer.decays_in_loss:
            objective += optimizers.l2_penalty(weights, recipe.weight_decay)
        return objective, {"loss": loss, "outputs": outputs}

    # The batch gradient at w. This clean pass alone moves BatchNorm's statistics.
    _, gradient, clean = sam.batch_gradient(loss_fn, values.weights)
    if recipe.rho == 0:
        norm, perturbed = None, clean
    else:
        mean_gradient, mean_square = SYNCS[recipe.sync]
        gradient = mean_gradient(gradient)
        norm = tf.sqrt(mean_square([sam.squared_norm(gradient)])[0])
        # The ascent to w + e, equation 2, and the gradient there, equation 3.
        ascent = sam.perturbation(gradient, recipe.rho, norm)
        _, gradient, perturbed = sam.batch_gradient(
            loss_fn, sam.perturb(values.weights, ascent)
        )

    gradient, stats, means = _reduce(gradient, clean, perturbed, norm, labels, values)
    learning_rate = recipe.schedule(values.step, values.learning_rate_scale)
    weights, slots = recipe.optimizer.update(
        gradient, values.slots, values.weights, values.step, learning_rate
    )
    new = values._replace(
        step=values.step + 1, weights=weights, stats=stats, slots=slots
    )
    return new, _report(means, gradient, learning_rate, recipe.rho)


def _augmented(
    batch: tuple[tf.Tensor, tf.Tensor], step: tf.Tensor, recipe: Recipe
) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = batch
    size = images.shape[0]
    key = _key(recipe.seed, _AUGMENT, step)
    uniform = augment.draws(key, size * replicas.count())
    mine = tf.slice(uniform, [replicas.index() * size, 0], [size, augment.NUM_DRAWS])
    return recipe.preprocess(images, mine), labels


def _key(seed: int, purpose: int, *parts: tf.Tensor) -> tf.Tensor:
    """Return the int32 `[2]` key of (seed, purpose, parts): no state, no order."""
    key = tf.constant([seed, purpose], tf.int32)
    for part in parts:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(part, tf.int32))
    return key


def _reduce(
    gradient: list[tf.Tensor],
    clean: dict,
    perturbed: dict,
    norm: tf.Tensor | None,
    labels: tf.Tensor,
    values: state_lib.Values,
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """Return the means over all replicas of gradient, statistics and metrics.

    One bucket, so one collective. Statistics that the pass did not move, a frozen
    layer's say, stay out: a mean of equal numbers need not be that number.
    """
    stats = clean["outputs"].stats
    moved = [
        i
        for i, (new, old) in enumerate(zip(stats, values.stats, strict=True))
        if new is not old and new.dtype.is_floating
    ]
    accuracy = tf.reduce_mean(losses.correct(clean["outputs"].logits, labels))
    scalars = [clean["loss"], perturbed["loss"], accuracy]
    scalars += [norm] if norm is not None else []
    bucket = replicas.mean([*gradient, *(stats[i] for i in moved), *scalars])
    gradient, rest = bucket[: len(gradient)], bucket[len(gradient) :]
    new_stats = list(stats)
    for i, value in zip(moved, rest, strict=False):
        new_stats[i] = value
    return gradient, new_stats, rest[len(moved) :]


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
    return tf.stack([report[name] for name in metrics.TRAIN])


def compile_train(
    strategy: tf.distribute.Strategy, state: state_lib.TrainState, recipe: Recipe
) -> Loop:
    """Return train(iterator, num_steps) -> metrics `[num_steps, len(metrics.TRAIN)]`.

    It writes the state. num_steps is an int64 tensor: an int would retrace.
    """

    def run(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        values, report = replica_step(state.read(), (images, labels), recipe)
        state.write(values)
        return report

    return compile_loop(strategy, run, len(metrics.TRAIN))


def compile_evaluation(
    strategy: tf.distribute.Strategy, state: state_lib.TrainState, recipe: Recipe
) -> Loop:
    """Return evaluate(iterator, num_steps) -> sums of each batch, `[num_steps, 3]`."""

    def run(images: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        values = state.read()
        outputs = recipe.network.apply(
            values.weights, values.stats, recipe.preprocess(images, None)
        )
        sums = metrics.evaluation_sums(outputs.logits, labels, mask)
        return tf.stack(replicas.total(sums))

    return compile_loop(strategy, run, 3)


def compile_loop(
    strategy: tf.distribute.Strategy, replica_fn: Callable, width: int
) -> Loop:
    """Return loop(iterator, num_steps), which runs all its steps in one call.

    Args:
        strategy: Under which each step runs, one `replica_fn` per replica.
        replica_fn: From one batch to a float32 `[width]`, equal on all replicas.
        width: Of what `replica_fn` returns, stacked by the loop.
    """

    @tf.function
    def loop(iterator: Iterator, num_steps: tf.Tensor) -> tf.Tensor:
        rows = tf.TensorArray(tf.float32, tf.cast(num_steps, tf.int32), False, True)
        for i in tf.range(num_steps):
            row = strategy.run(replica_fn, args=next(iterator))
            row = strategy.experimental_local_results(row)[0]
            rows = rows.write(tf.cast(i, tf.int32), tf.ensure_shape(row, [width]))
        return rows.stack()

    return loop
