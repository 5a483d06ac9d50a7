"""One optimization step on one replica.

`replica_step` reads as Algorithm 1 of arXiv 2010.01412. It is a pure function from the
values of the state to new values. exchange.py has what it sends to other replicas, and
loop.py runs it under a strategy, many steps in one call.
"""

import tensorflow as tf

from sam_pod import sam
from sam_pod.data.input.batches import Batch
from sam_pod.machines import replicas
from sam_pod.sam.variant import Variant
from sam_pod.step import exchange, metrics, passes
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


def replica_step(
    values: state_lib.Values,
    batch: Batch,
    recipe: Recipe,
    variant: Variant | None = None,
) -> tuple[state_lib.Values, tf.Tensor]:
    """Return the values after one step, and the metrics that it reports.

    Those are `metrics.TRAIN`, then `recipe.metrics`, NaN where this step has none.

    Args:
        values: The state before the step, the same on every replica.
        batch: This replica's.
        recipe: What the step is made of.
        variant: The one of `recipe.programs` that takes the step; the first if None.
    """
    variant = variant or recipe.variant
    learning_rate = recipe.schedule(values.step, values.learning_rate_scale)
    rho = recipe.rho(values.step, learning_rate)
    micro_batches = passes.micro_batches(batch, values.step, recipe)

    # The batch gradient at w. These clean passes alone move BatchNorm's statistics.
    # An ascent follows the true gradient, where a network's gates have another.
    start = _ahead(values, rho, recipe) if variant.follows_momentum else values.weights
    clean = [
        passes.run(
            *(start, part, values, recipe, variant.watched),
            true_gradient=variant.ascends,
        )
        for part in micro_batches
    ]
    ascended, perturbed = None, clean
    if variant.ascends:
        # The ascents to w + e, equation 2, and the gradients there, equation 3.
        ascended = exchange.ascents(clean, values, rho, recipe, variant)
        parts = zip(ascended.ascents, micro_batches, clean, strict=True)
        perturbed = [
            passes.at_ascent(ascent, part, before, values, recipe, variant)
            for ascent, part, before in parts
        ]

    # What the optimizer takes of both, and what all replicas know of the step.
    seen = exchange.descent(clean, perturbed, ascended, values, recipe, variant)
    new = _updated(values, seen, learning_rate, recipe)
    acts = variant.ascends or variant.follows_momentum
    return new, _report(seen, learning_rate, rho if acts else 0.0, recipe, variant)


def _updated(
    values: state_lib.Values,
    seen: exchange.Seen,
    learning_rate: tf.Tensor,
    recipe: Recipe,
) -> state_lib.Values:
    """Return the values after the optimizer, and after what goes beside it."""
    finished = seen.finished
    weights, slots = recipe.optimizer.update(
        finished.gradient, values.slots, values.weights, values.step, learning_rate
    )
    if finished.correction:
        correction = recipe.optimizer.scaled(finished.correction)
        pairs = zip(weights, correction, strict=True)
        weights = [w - learning_rate * c for w, c in pairs]
    return values._replace(
        step=values.step + 1,
        weights=weights,
        stats=seen.stats,
        slots=slots,
        memory=values.memory if finished.memory is None else finished.memory,
        average=recipe.average.after(values.average, weights, seen.stats, values.step),
    )


def _ahead(
    values: state_lib.Values, rho: float | tf.Tensor, recipe: Recipe
) -> list[tf.Tensor]:
    """Return the weights ahead of w, along the last update: Momentum-SAM's."""
    heading = recipe.optimizer.heading(values.slots)
    return sam.perturb(values.weights, sam.perturbation(heading, rho))


def replica_evaluation(
    values: state_lib.Values, batch: Batch, recipe: Recipe
) -> tf.Tensor:
    """Return the sums of `metrics.evaluation_sums` over all replicas, float32.

    Args:
        values: The state, the same on every replica.
        batch: This replica's batch, with its mask.
        recipe: The parts of the step.
    """
    weights, stats = values.evaluated()
    outputs = recipe.network.apply(
        weights, stats, recipe.evaluation_images(batch.images)
    )
    sums = metrics.evaluation_sums(outputs.logits, batch.labels, batch.mask)
    return tf.stack(replicas.total(sums))


def _report(
    seen: exchange.Seen,
    learning_rate: tf.Tensor,
    rho: float | tf.Tensor,
    recipe: Recipe,
    variant: Variant,
) -> tf.Tensor:
    sam_grad_norm = seen.clipped_norm
    if sam_grad_norm is None:
        sam_grad_norm = tf.sqrt(sam.squared_norm(seen.finished.gradient))
    report = metrics.Train(
        loss=seen.loss,
        perturbed_loss=seen.perturbed_loss,
        sharpness=seen.perturbed_loss - seen.loss,
        accuracy=seen.accuracy,
        grad_norm=sam_grad_norm if seen.norm is None else seen.norm,
        sam_grad_norm=sam_grad_norm,
        learning_rate=learning_rate,
        rho=rho if tf.is_tensor(rho) else tf.constant(rho),
    )
    own = dict(zip(variant.metrics, seen.metrics, strict=True))
    missing = tf.constant(float("nan"))
    more = [own.get(name, missing) for name in recipe.variant.metrics]
    return tf.stack([tf.cast(value, tf.float32) for value in (*report, *more)])
