"""Run the lowered step on virtual devices, against one device with the whole batch.

The reference is the same step on one replica without a strategy: the replicas of a
group become chunks of one pass, and the groups micro-batches. TensorFlow compiles it
with its own XLA, since its kernels draw other random bits than XLA's.

Where a member does not take every step, the steps are of each of the run's programs in
turn, the member's first.

Every step of the reference starts from the replicas' state and memory, and its
optimizer takes the replicas' gradient: Adam turns the rounding of a gradient that is
nearly zero into a whole step, after which two exact computations need not agree.

Nor need two gradients of a deep network at its first weights agree: for ResNet20 in
float32, batch 64, moving each weight to its neighbour among the floats moves the
gradient by 1.6 to 1.9 % of its norm, and two replicas are off by 3.9 %. So the
reference's gradient is taken at such neighbours, too, and the bound grows with how far
that moves it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from sam_pod import errors
from sam_pod.machines import groups
from sam_pod.preflight import runners, runtime
from sam_pod.preflight.subject import Subject
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

# Bounds on ||a - b|| / ||b||. Orders of summation differ, more so in bfloat16; a
# gradient that is reduced twice, or not at all, is off by 0.5 or more.
BOUNDS = {"float32": 1e-3, "bfloat16": 0.1}
# An ascent on each replica's own gradient in place of the mean is off by 0.24 there.
_LARGEST_BOUND = 0.2
_ROUNDINGS = 10.0  # A step has many roundings; moving each weight makes one.


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How far the replicas are from the reference, at the worst step."""

    num_replicas: int
    num_steps: int
    differences: dict[str, float]  # 'loss', 'gradient', 'weights': ||a - b|| / ||b||.
    are_replicas_equal: bool
    bound: float
    rounding: float = 0.0  # ||a - b|| / ||b|| of gradients at neighbouring weights.

    @property
    def bounds(self) -> dict[str, float]:
        """The largest allowed value of each difference."""
        grown = min(_ROUNDINGS * self.rounding, _LARGEST_BOUND)
        bounds = dict.fromkeys(self.differences, self.bound)
        return {**bounds, "gradient": max(self.bound, grown)}

    @property
    def is_passed(self) -> bool:
        """Whether all of it is within the bounds."""
        bounds = self.bounds
        return self.are_replicas_equal and all(
            difference <= bounds[name] for name, difference in self.differences.items()
        )


def compare(
    subject: Subject,
    *,
    num_replicas: int,
    num_steps: int,
    per_replica_batch_size: int | None = None,
) -> Comparison:
    """Return how the lowered step differs from the whole batch on one device.

    Args:
        subject: The subject to run.
        num_replicas: The number of replicas, and of virtual devices.
        num_steps: The number of steps, each on other random images.
        per_replica_batch_size: A batch in place of the config's.

    Raises:
        UserError: too few virtual devices, or a config that cannot be compared.
    """
    recipe = subject.recipe(num_replicas)
    size = per_replica_batch_size or subject.per_replica_batch_size(num_replicas)
    batches = list(
        _batches(subject, num_steps, size * num_replicas, subject.config.seed)
    )
    return compare_recipes(
        recipe,
        reference(
            recipe,
            subject.recipe_alone(),
            num_replicas,
            shares_batch=subject.config.model.batch_norm == "global",
        ),
        batches,
        num_replicas=num_replicas,
        bound=BOUNDS[subject.config.dtype],
        by_jax=runtime.is_jax(subject.config),
    )


def compare_recipes(
    recipe: Recipe,
    whole: Recipe,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    num_replicas: int,
    bound: float,
    by_jax: bool = False,
) -> Comparison:
    """Return how `recipe` on replicas differs from `whole` on one device.

    Args:
        recipe: The recipe of the replicas.
        whole: The recipe that `reference` returns.
        batches: The global batch of each step: (uint8 images, int32 labels).
        num_replicas: The number of replicas, and of virtual devices.
        bound: The bound on each difference; the gradient's grows with its rounding.
        by_jax: Whether the replicas' steps are run as the runtime 'pjrt' does.
    """
    recipe = runners.with_gradient(recipe)
    replicas = runners.Replicas(
        recipe, batches[0][0].shape, num_replicas, by_jax=by_jax
    )
    alone = runners.Alone(whole)
    worst = dict.fromkeys(("loss", "gradient", "weights"), 0.0)
    roundings = []
    for i, (images, labels) in enumerate(batches):
        # Whatever the window and the period: each of them, the member's first.
        program = i % len(recipe.programs)
        before = replicas.values
        replicas.step(images, labels, program)
        after = replicas.values
        gradient = after.slots.pop(runners.GRADIENT)
        expected = alone.step(before, images, labels, program)
        updated = alone.update(before, gradient)
        there = [w + b for w, b in zip(updated, expected.beside, strict=True)]
        moved = alone.step(_neighbours(before), images, labels, program)
        roundings.append(_difference(moved.gradient, expected.gradient))
        differences = {
            "loss": _difference([replicas.loss], [expected.loss]),
            "gradient": _difference(gradient, expected.gradient),
            # How far they moved: the weights themselves hardly change in a step.
            "weights": _difference(
                _moves(before.weights, after.weights),
                _moves(before.weights, there),
            ),
        }
        worst = {name: max(worst[name], differences[name]) for name in worst}
    return Comparison(
        num_replicas=num_replicas,
        num_steps=len(batches),
        differences=worst,
        are_replicas_equal=replicas.are_equal,
        bound=bound,
        # The least of all steps: a bound for the worst must not be a lucky one.
        rounding=min(roundings),
    )


def _moves(old: Sequence[np.ndarray], new: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [after - before for before, after in zip(old, new, strict=True)]


def reference(
    recipe: Recipe, alone: Recipe, num_replicas: int, *, shares_batch: bool = False
) -> Recipe:
    """Return the recipe that computes on one device what replicas do together.

    Args:
        recipe: The recipe of the replicas.
        alone: The same for one replica, whose BatchNorm asks no others.
        num_replicas: The number of replicas of `recipe`.
        shares_batch: Whether BatchNorm's batch is that of all that ascend together.

    Raises:
        UserError: layers whose draws depend on the size of a chunk, or a member that
            chooses among the examples of a replica.
    """
    size = recipe.groups.among(num_replicas)
    if recipe.variant.part < 1 and size > 1:
        raise errors.UserError(
            "--execute cannot compare `sam.variant` 'esam' where replicas ascend "
            "together: each takes the hardest of its own examples, and one device "
            "those of all; set `sam.sync` to 'replica', or `sam.esam.gamma` to 1."
        )
    if shares_batch and size > 1 and recipe.network.draws_by_batch:
        raise errors.UserError(
            "--execute cannot compare a model whose layers draw numbers for a batch, "
            "as those that augment images do, under `model.batch_norm` 'global': one "
            "device draws others for the whole batch; set it to 'replica'."
        )
    return dataclasses.replace(
        alone,
        groups=groups.Groups(shares_norm=recipe.groups.shares_norm),
        micro_batches=recipe.micro_batches * num_replicas // size,
        accumulate_steps=recipe.accumulate_steps * (1 if shares_batch else size),
    )


def _batches(
    subject: Subject, count: int, size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    manifest = subject.manifest
    for _ in range(count):
        images = random.integers(0, 256, (size, *subject.image_shape), np.uint8)
        labels = random.integers(0, len(manifest.classes), size)
        yield images, labels.astype(np.int32)


def _neighbours(values: state_lib.Values) -> state_lib.Values:
    """Return the state with each weight at the next float, above or below at random."""
    random = np.random.default_rng(0)

    def moved(weight: np.ndarray) -> np.ndarray:
        weight = np.asarray(weight)
        ends = np.where(random.random(weight.shape) < 0.5, -np.inf, np.inf)
        return np.nextafter(weight, ends.astype(weight.dtype))

    return values._replace(weights=[moved(w) for w in values.weights])


def _difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    a, b = (
        np.concatenate([np.ravel(t).astype(np.float64) for t in tensors])
        for tensors in (found, expected)
    )
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))
