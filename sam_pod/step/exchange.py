"""What replicas exchange in a step: the ascents of groups, the means of all.

`plan` declares it once: the step sends what is declared and asserts that it is that,
`preflight` holds the compiler's text against it, and the table of costs is printed
from it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import replicas
from sam_pod.machines.groups import Groups
from sam_pod.sam import directions
from sam_pod.sam.gradients import Mask, Tensors
from sam_pod.sam.variant import Descent, Finished, Variant
from sam_pod.step import means, passes
from sam_pod.step import state as state_lib
from sam_pod.step.clipping import Clip
from sam_pod.step.recipe import Recipe

SCOPES = ("ascent", "norm", "group", "descent")  # Of the exchanges, in their order.


class Exchange(NamedTuple):
    """One collective of a step: a mean over replicas."""

    scope: str  # The name of its operations, in profiles as well.
    replicas: int  # The replicas that take the mean together.
    gradients: int  # Those in its bucket; scalars and statistics travel along.
    mask: Mask = None  # The weights of these gradients.


class Ascended(NamedTuple):
    """What the learners of this replica ascend on, one entry for each micro-batch."""

    gradients: list[Tensors]  # The clean gradient of the whole group.
    directions: list[directions.Direction]
    ascents: list[Tensors]  # e(w).
    norms: list[tf.Tensor]  # The divisor of each.


class Seen(NamedTuple):
    """What all replicas know at the end of a step: means over all of them."""

    finished: Finished
    clipped_norm: tf.Tensor | None  # The gradient's before it was clipped, if it was.
    stats: Tensors
    loss: tf.Tensor
    perturbed_loss: tf.Tensor
    accuracy: tf.Tensor
    norm: tf.Tensor | None  # That the ascents divided by; None without any.
    metrics: tuple[tf.Tensor, ...]  # For `Variant.metrics`.


class _Bucket(NamedTuple):
    """What the last collective carries."""

    gradients: list[Tensors]
    stats: list[tf.Tensor]
    loss: tf.Tensor
    perturbed_loss: tf.Tensor
    accuracy: tf.Tensor
    norms: list[tf.Tensor]
    metrics: list[tf.Tensor]


def plan(
    variant: Variant, groups: Groups, micro_batches: int, num_replicas: int
) -> tuple[Exchange, ...]:
    """Return the collectives of a step, in their order.

    What ascends together is one learner (arXiv 2010.01412, sections 2 and 4.1):
        'global'   all replicas: N replicas equal one; two gradient-sized all-reduces.
        k          k neighbouring replicas: two, the first in groups.
        'replica'  a replica alone, the paper's m-sharpness: one all-reduce.
        'norm'     a replica alone, over the root mean square of all norms: one
                   all-reduce and a scalar.
    A member whose `descend` is not linear needs its learner's perturbed gradient as
    well, and one with a `finish` the mean of both gradients.
    """
    if num_replicas == 1:
        return ()
    size = groups.among(num_replicas)
    is_global, exchanges = size == num_replicas, []
    if variant.ascends and not variant.is_blind and size > 1:
        ascent = Exchange("ascent", size, micro_batches, variant.perturbs)
        exchanges.append(ascent)
    if variant.ascends and _shares_norm(variant, groups):
        exchanges.append(Exchange("norm", num_replicas, 0))
    if variant.needs_whole_learner and 1 < size < num_replicas:
        exchanges.append(Exchange("group", size, micro_batches))
    count = micro_batches if variant.needs_whole_learner and is_global else 1
    if variant.needs_clean_mean and not is_global:
        count += 1
    return (*exchanges, Exchange("descent", num_replicas, count))


def ascents(
    clean: Sequence[passes.Pass],
    values: state_lib.Values,
    rho: float | tf.Tensor,
    recipe: Recipe,
    variant: Variant,
) -> Ascended:
    """Return e(w) of each micro-batch, equation 2, from what its group knows."""
    weights = sam.select(values.weights, variant.perturbs)
    gradients = [part.gradient for part in clean]
    gradients = _mean_of("ascent", gradients, gradients, recipe, variant)
    found = [
        variant.direct(
            gradient,
            weights,
            values.memory,
            passes.ascent_keys(values.step, recipe, i) if variant.draws else None,
        )
        for i, gradient in enumerate(gradients)
    ]
    squares = [direction.squared_norm for direction in found]
    if _shares_norm(variant, recipe.groups):
        square = _mean_of("norm", means.of(squares), [], recipe, variant)
        squares = [square] * len(squares)
    norms = [tf.sqrt(square) for square in squares]
    steps = [
        directions.ascent(direction, rho, norm)
        for direction, norm in zip(found, norms, strict=True)
    ]
    return Ascended(gradients, found, steps, norms)


def _shares_norm(variant: Variant, groups: Groups) -> bool:
    """Return whether all divide by one norm; what is blind has none to share."""
    return groups.shares_norm and not variant.is_blind


def descent(
    clean: Sequence[passes.Pass],
    perturbed: Sequence[passes.Pass],
    ascended: Ascended | None,
    values: state_lib.Values,
    recipe: Recipe,
    variant: Variant,
) -> Seen:
    """Return what the optimizer takes, the new statistics and the metrics.

    What is sent is one bucket, so one collective. Statistics that the passes did not
    move stay out: a mean of equal numbers need not be that number.
    """
    is_global = recipe.groups.among(replicas.count()) == replicas.count()
    gradients = [part.gradient for part in perturbed]
    metrics = [each.metrics for each in ascended.directions] if ascended else []
    is_late = variant.needs_whole_learner and is_global  # Known after the last mean.
    if variant.descend and not is_late:
        if variant.needs_whole_learner:
            gradients = _mean_of("group", gradients, gradients, recipe, variant)
        gradients, more = _descend(variant, ascended.gradients, gradients)
        metrics = [(*a, *b) for a, b in zip(metrics, more, strict=True)]
    sent = gradients if is_late else [means.of_each(gradients)]
    sends_clean = variant.needs_clean_mean and not is_global
    if sends_clean:
        sent = [*sent, means.of_each([part.gradient for part in clean])]

    moved = passes.moved([part.stats for part in clean], values.stats)
    bucket = _Bucket(
        gradients=sent,
        stats=[means.of([part.stats[i] for part in clean]) for i in moved],
        loss=means.of([part.loss for part in clean]),
        perturbed_loss=means.of([part.loss for part in perturbed]),
        accuracy=means.of([part.accuracy for part in clean]),
        norms=[means.of(ascended.norms)] if ascended else [],
        metrics=means.of_each(metrics) if metrics else [],
    )
    bucket = _mean_of("descent", bucket, sent, recipe, variant)
    if is_late:
        found, more = _descend(variant, ascended.gradients, bucket.gradients)
        metrics = [*bucket.metrics, *means.of_each(more)]
        bucket = bucket._replace(gradients=[means.of_each(found)], metrics=metrics)
    if not sends_clean and ascended and variant.needs_clean_mean:
        known = [*bucket.gradients, means.of_each(ascended.gradients)]
        bucket = bucket._replace(gradients=known)
    stats = list(clean[-1].stats)
    for i, value in zip(moved, bucket.stats, strict=True):
        stats[i] = value
    return _seen(bucket, stats, values, recipe, variant)


def _seen(
    bucket: _Bucket,
    stats: Tensors,
    values: state_lib.Values,
    recipe: Recipe,
    variant: Variant,
) -> Seen:
    """Return what all replicas know, from the means that they share.

    Args:
        bucket: The means; of gradients the descent's, then the clean one if needed.
        stats: The new statistics.
        values: The state before the step.
        recipe: What the step is made of.
        variant: Who takes the step.
    """
    clip = Clip(recipe.clip_norm)
    gradient, *clean = bucket.gradients
    if variant.finish is None:
        finished = Finished(clip(gradient))
    else:
        known = clean[0] if clean else gradient
        finished = variant.finish(known, gradient, values.memory, clip)
    return Seen(
        finished=finished,
        clipped_norm=clip.norms[0] if clip.norms else None,
        stats=stats,
        loss=bucket.loss,
        perturbed_loss=bucket.perturbed_loss,
        accuracy=bucket.accuracy,
        norm=bucket.norms[0] if bucket.norms else None,
        metrics=(*bucket.metrics, *finished.metrics),
    )


def _descend(
    variant: Variant, clean: list[Tensors], perturbed: list[Tensors]
) -> tuple[list[Tensors], list[tuple[tf.Tensor, ...]]]:
    found: list[Descent] = [
        variant.descend(g, p) for g, p in zip(clean, perturbed, strict=True)
    ]
    return [each.gradient for each in found], [each.metrics for each in found]


def _mean_of(
    scope: str,
    tensors: replicas.Nest,
    gradients: Sequence[Tensors],
    recipe: Recipe,
    variant: Variant,
) -> replicas.Nest:
    """Return the mean that the plan declares under a name; the tensors without one.

    Args:
        scope: The scope of the exchange.
        tensors: The tensors, in a nest.
        gradients: Those of them that the plan counts.
        recipe: The parts of the step.
        variant: The member that takes it.
    """
    declared = {
        exchange.scope: exchange
        for exchange in plan(
            variant, recipe.groups, recipe.micro_batches, replicas.count()
        )
    }
    with tf.name_scope(scope):
        if scope not in declared:
            return tensors
        exchange = declared[scope]
        assert len(gradients) == exchange.gradients, (scope, len(gradients))
        return replicas.group_mean(tensors, exchange.replicas)
