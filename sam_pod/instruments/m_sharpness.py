"""m-sharpness of a run: the mean over groups of m, each with its own ascent."""

from typing import Any

import numpy as np
import tensorflow as tf

from sam_pod.data.input import pipeline
from sam_pod.data.input.batches import Batch
from sam_pod.instruments import worst_case
from sam_pod.instruments.balls import Ball
from sam_pod.instruments.objective import Objective
from sam_pod.instruments.subject import Subject, tensors
from sam_pod.instruments.sweep import Sweep
from sam_pod.machines import eager, replicas

_WORST, _AVERAGE = 2, 3  # What the keys of random points are for.
_NUMBERS = 4  # Of a group: 1 where it is real, its loss, its rise, its single step's.


class Groups:
    """Look for the worst, or the average, of each group of m examples.

    A group is m consecutive examples of the split, on one replica: the groups, and what
    is drawn for them, are the same on any number of replicas.
    """

    def __init__(
        self, subject: Subject, split: pipeline.Split, size: int, seed: int
    ) -> None:
        """Take the groups.

        Args:
            subject: What is measured.
            split: A whole number of groups.
            size: m.
            seed: The seed of all random points.
        """
        self._subject, self._split, self._size, self._seed = subject, split, size, seed
        self._objective = Objective(subject.recipe, size)
        with subject.runtime.strategy.scope(), eager.settled():
            self._turn = tf.Variable(0, name="turn")
            self._ball = Ball(tf.Variable(False), tf.Variable(False), tf.Variable(0.0))

    def worst(self, *, restarts: int, steps: int) -> "Looker":
        """Return what looks for the worst points."""

        def look(batch: Batch, ball: Ball, key: tf.Tensor) -> list[tf.Tensor]:
            found = worst_case.worst(
                self._loss_fn(batch),
                tensors(self._subject.weights),
                ball,
                restarts=restarts,
                steps=steps,
                key=key,
            )
            base = found.at_weights
            return [base, found.worst - base, found.single_step - base]

        return Looker(self, look, _WORST)

    def average(self, *, draws: int) -> "Looker":
        """Return what takes the mean of random points."""

        def look(batch: Batch, ball: Ball, key: tf.Tensor) -> list[tf.Tensor]:
            weights, loss_fn = tensors(self._subject.weights), self._loss_fn(batch)
            base = loss_fn(weights)
            mean = worst_case.average(loss_fn, weights, ball, draws=draws, key=key)
            return [base, mean - base, tf.zeros([])]

        return Looker(self, look, _AVERAGE)

    def _loss_fn(self, batch: Batch) -> worst_case.LossFn:
        stats = tensors(self._subject.stats)
        return lambda weights: self._objective.share(weights, stats, batch)


class Looker:
    """Collect what is found of each group from all replicas."""

    def __init__(self, groups: Groups, look: Any, purpose: int) -> None:
        self._groups, self._look, self._purpose = groups, look, purpose
        subject, split = groups._subject, groups._split
        size, width = (n * subject.num_replicas for n in (groups._size, _NUMBERS))
        self._sweep = Sweep(subject, split, size, self._program, width)

    def __call__(self, ball: Ball) -> dict[str, float]:
        """Return what `summarize` makes of the groups."""
        eager.assign([self._groups._turn, *self._groups._ball], [0, *ball])
        return summarize(self._sweep().reshape(-1, _NUMBERS))

    def _program(self, batch: Batch) -> tf.Tensor:
        groups = self._groups
        turn = tf.convert_to_tensor(groups._turn)
        number = turn * replicas.count() + replicas.index()
        key = tf.constant([groups._seed, self._purpose], tf.int32)
        key = tf.random.experimental.stateless_fold_in(key, number)
        groups._turn.assign(turn + 1)
        base, rise, single = self._look(batch, Ball(*tensors(groups._ball)), key)
        # A group that fills up the last batch is not real.
        is_real = batch.mask[0] > 0
        found = tf.stack([tf.ones([]), base, rise, single])
        is_own = tf.range(replicas.count()) == replicas.index()
        own = tf.where(tf.logical_and(is_own, is_real)[:, None], found, 0.0)
        return replicas.total([tf.reshape(own, [-1])])[0]


def summarize(found: np.ndarray) -> dict[str, float]:
    """Return the means over the groups, and the standard error of the rise.

    That of a single group is not known: NaN.

    Args:
        found: A row for each group: 1, its loss, its rise and that of its single step;
            zeros for one that is not real.
    """
    _, loss, rise, single = found[found[:, 0] > 0].T.astype(np.float64)
    count = len(rise)
    error = np.std(rise, ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return {
        "loss": float(np.mean(loss)),
        "rise": float(np.mean(rise)),
        "standard_error": float(error),
        "single_step_rise": float(np.mean(single)),
        "groups": count,
    }
