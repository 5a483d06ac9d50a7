"""The measures of a subject, each compiled once for all its checkpoints."""

import dataclasses
import functools

import numpy as np

from sam_pod import errors
from sam_pod.config import batch as batch_lib
from sam_pod.data.input import pipeline
from sam_pod.instruments import balls, density, eigenvalues, landscape, products, trace
from sam_pod.instruments.lanczos import Tridiagonal
from sam_pod.instruments.m_sharpness import Groups, Looker
from sam_pod.instruments.numbers import Found
from sam_pod.instruments.objective import Objective
from sam_pod.instruments.plan import OF_HESSIAN, Plan
from sam_pod.instruments.products import Products
from sam_pod.instruments.subject import Subject


class Measures:
    """Measure a subject as it stands, one measure after the other."""

    def __init__(self, subject: Subject, plan: Plan) -> None:
        """Refuse what does not fit the subject, and compile nothing yet.

        Raises:
            UserError: a number of examples that the subject has not.
        """
        self._subject, self._plan = subject, plan
        self._lanczos: dict[tuple[bool, int], Tridiagonal] = {}
        self._batch_size = _batch_size(subject, plan)
        # What is compiled, once for all checkpoints, and no longer than this object.
        self._products = functools.cache(self._make_products)
        self._groups = functools.cache(self._make_groups)
        self._looker = functools.cache(self._make_looker)
        self._slice = functools.cache(self._make_slice)
        if set(plan.measures) & set(OF_HESSIAN):
            self._examples  # noqa: B018
        if {"worst_case", "average_case"} & set(plan.measures):
            for m in plan.m:
                self._groups(m)

    def all_of(self, name: str) -> Found:
        """Return what the measure of a name finds."""
        return getattr(self, f"_{name}")()

    def settings(self, name: str) -> Found:
        """Return what the numbers of a measure depend on but the weights."""
        split = self._examples if name in OF_HESSIAN else self._subject.split
        return self._plan.settings(
            name, split.num_examples, self._batch_size, self._subject.num_replicas
        )

    def moved(self) -> None:
        """Forget what was found at the values that the subject had before."""
        self._lanczos.clear()

    @functools.cached_property
    def _examples(self) -> pipeline.Split:
        """The examples of the Hessian: whole batches where all that is in one counts.

        What fills up a batch has no loss, and activations as any example.
        """
        split, size = self._subject.split, self._batch_size
        counts = self._subject.recipe.network.regularizes_activities
        if self._plan.batch_norm == "running" and not counts:
            return split
        count = split.num_examples // size * size
        if not count:
            raise errors.UserError(
                f"--examples is {split.num_examples}, less than the batch of {size} "
                "that --batch_norm=batch needs, and a model that regularizes its "
                "activations: give more, or a lower --batch_size."
            )
        return dataclasses.replace(split, num_examples=count)

    def _objective(self, is_regularized: bool) -> Objective:
        return Objective(
            self._subject.recipe,
            self._examples.num_examples,
            self._plan.batch_norm,
            is_regularized,
            self._subject.config.global_batch_size,
        )

    def _make_products(self, is_regularized: bool) -> Products:
        objective = self._objective(is_regularized)
        return Products(self._subject, self._examples, objective, self._batch_size)

    def _tridiagonal(
        self, is_regularized: bool = False, number: int = 0
    ) -> Tridiagonal:
        key = (is_regularized, number)
        if key not in self._lanczos:
            product = self._products(is_regularized)
            self._lanczos[key] = eigenvalues.find(
                product,
                product.size,
                iterations=self._plan.iterations,
                seed=self._plan.seed,
                number=number,
            )
        return self._lanczos[key]

    def _eigenvalues(self) -> Found:
        arrays = [variable.numpy() for variable in self._subject.weights]
        square = float(np.square(products.join(arrays)).sum())

        def described(is_regularized: bool) -> Found:
            found = self._tridiagonal(is_regularized)
            return eigenvalues.describe(found, self._plan.eigenvalues, square)

        found = {**described(is_regularized=False), "squared_norm": square}
        if self._objective(is_regularized=True).has_regularizers:
            found["with_l2"] = described(is_regularized=True)
        return found

    def _density(self) -> Found:
        numbers = range(self._plan.density_probes)
        return density.estimate([self._tridiagonal(number=n) for n in numbers])

    def _trace(self) -> Found:
        product, plan = self._products(False), self._plan
        return trace.estimate(
            product, product.size, probes=plan.trace_probes, seed=plan.seed
        )

    def _make_groups(self, m: int) -> Groups:
        split = self._subject.split
        there = min(self._plan.m_examples, split.num_examples)
        if m > there:
            raise errors.UserError(
                f"--m is {m}; it must be at most the {there} examples that --examples "
                "and --m_examples leave."
            )
        whole = dataclasses.replace(split, num_examples=there // m * m)
        return Groups(self._subject, whole, m, self._plan.seed)

    def _make_looker(self, m: int, is_worst: bool) -> Looker:
        plan, groups = self._plan, self._groups(m)
        if is_worst:
            return groups.worst(restarts=plan.restarts, steps=plan.steps)
        return groups.average(draws=plan.draws)

    def _of_groups(self, is_worst: bool) -> Found:
        found = []
        for m in self._plan.m:
            for ball in map(balls.parse, self._plan.balls):
                numbers = self._looker(m, is_worst)(ball)
                if not is_worst:
                    del numbers["single_step_rise"]
                found.append({"m": m, "ball": ball.name, **numbers})
        return {"groups": found}

    def _worst_case(self) -> Found:
        return self._of_groups(is_worst=True)

    def _average_case(self) -> Found:
        return self._of_groups(is_worst=False)

    def _make_slice(self, points: int, dimensions: int) -> landscape.Slice:
        seed = self._plan.seed
        return landscape.Slice(
            self._subject, self._batch_size, points, dimensions, seed
        )

    def _line(self) -> Found:
        return self._slice(self._plan.line_points, 1)()

    def _plane(self) -> Found:
        return self._slice(self._plan.plane_points, 2)()


def _batch_size(subject: Subject, plan: Plan) -> int:
    """Return the examples of a batch over all replicas: what a run's chunk has.

    Raises:
        UserError: it does not divide by the replicas.
    """
    config = subject.config
    parts = config.sam.micro_batches * config.accumulate_steps
    size = plan.batch_size or config.global_batch_size // parts
    name = "--batch_size" if plan.batch_size else "a chunk of `global_batch_size`"
    batch_lib.per_replica_batch_size(size, subject.num_replicas, name=name)
    return size
