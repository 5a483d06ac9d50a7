"""One optimization step on one replica.

`replica_step` reads as Algorithm 1 of arXiv 2010.01412. It is a pure function from the
values of the state to new values. exchange.py has what it sends to other replicas, and
loop.py runs it under a strategy, many steps in one call.
"""

import tensorflow as tf

from sam_pod import sam
from sam_pod.data.input.batches import Batch
from sam_pod.machines import replicas
from sam_pod.step import exchange, metrics, passes
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


def replica_step(
    values: state_lib.Values, batch: Batch, recipe: Recipe
) -> tuple[state_lib.Values, tf.Tensor]:
    """Return the values after one step, and the metrics of `metrics.TRAIN`.

    Args:
        values: The state before the step, the same on every replica.
        batch: This replica's batch.
        recipe: The parts of the step.
    """
    micro_batches = passes.micro_batches(batch, values.step, recipe)

    # The batch gradient at w. These clean passes alone move BatchNorm's statistics.
    clean = [passes.run(values.weights, part, values, recipe) for part in micro_batches]
    if recipe.rho == 0:
        perturbed, norms = clean, []
    else:
        # The ascents to w + e, equation 2, and the gradients there, equation 3.
        ascents, norms = exchange.ascents([part.gradient for part in clean], recipe)
        perturbed = [
            passes.run(sam.perturb(values.weights, ascent), part, values, recipe)
            for ascent, part in zip(ascents, micro_batches, strict=True)
        ]

    gradient, stats, means = exchange.descent(clean, perturbed, norms, values)
    learning_rate = recipe.schedule(values.step, values.learning_rate_scale)
    weights, slots = recipe.optimizer.update(
        gradient, values.slots, values.weights, values.step, learning_rate
    )
    new = values._replace(
        step=values.step + 1, weights=weights, stats=stats, slots=slots
    )
    return new, _report(means, gradient, learning_rate, recipe.rho)


def replica_evaluation(
    values: state_lib.Values, batch: Batch, recipe: Recipe
) -> tf.Tensor:
    """Return the sums of `metrics.evaluation_sums` over all replicas, float32 `[3]`.

    Args:
        values: The state, the same on every replica.
        batch: This replica's batch, with its mask.
        recipe: The parts of the step.
    """
    outputs = recipe.network.apply(
        values.weights, values.stats, recipe.preprocess(batch.images, None)
    )
    sums = metrics.evaluation_sums(outputs.logits, batch.labels, batch.mask)
    return tf.stack(replicas.total(sums))


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
