"""Faults that are put into a step on virtual devices, each of which is seen."""

import dataclasses

import numpy as np
import pytest

from sam_pod import sam
from sam_pod.machines import replicas
from sam_pod.preflight import execution, runners
from tests import fixtures
from tests.preflight import comparisons

references_are_compiled_once = comparisons.references_are_compiled_once


def test_what_is_subtracted_beside_the_optimizer_is_compared():
    """WSAM's sharpness: replicas that leave it out are not where one device is."""
    variant = sam.wsam.build(0.9)
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False), variant=variant)

    def finish(*arguments):
        return variant.finish(*arguments)._replace(correction=None)

    without = dataclasses.replace(
        recipe, variant=dataclasses.replace(variant, finish=finish)
    )
    off = comparisons.compared(without, recipe, num_steps=1).differences
    assert off["weights"] > 0.1 > comparisons.BOUND > off["gradient"]


def broken(change):
    """Return the reference, and a recipe whose optimizer gets another gradient."""
    recipe = comparisons.plain_recipe()
    update = recipe.optimizer.update
    optimizer = dataclasses.replace(
        recipe.optimizer,
        update=lambda gradient, *rest: update(change(gradient), *rest),
    )
    return dataclasses.replace(recipe, optimizer=optimizer), recipe


def test_a_gradient_that_is_reduced_twice_fails():
    """As an optimizer of Keras does, which sums over the replicas by itself."""
    found = comparisons.compared(*broken(replicas.total), num_steps=1)
    assert not found.is_passed
    assert found.differences["weights"] == pytest.approx(
        comparisons.REPLICAS - 1, rel=1e-3
    )


@pytest.fixture
def keep_local(monkeypatch):
    """Return a function: leave to each replica its own of what a field is called."""

    def keep(part):
        mean = replicas.mean

        def incomplete(tensors):
            found = mean(tensors)
            if isinstance(found, tuple):  # The descent's bucket.
                return found._replace(**{part: getattr(tensors, part)})
            return tensors if part == "gradients" else found

        monkeypatch.setattr(replicas, "mean", incomplete)

    return keep


def test_a_gradient_that_is_not_reduced_fails(keep_local):
    recipe = comparisons.plain_recipe()
    keep_local("gradients")
    found = comparisons.compared(recipe, num_steps=1)
    assert not found.is_passed and not found.are_replicas_equal
    off = found.differences
    assert off["gradient"] > 0.1 > comparisons.BOUND > off["loss"]


def test_statistics_left_local_fail(keep_local):
    recipe = fixtures.small_recipe(fixtures.small_model())
    keep_local("stats")
    found = comparisons.compared(recipe, num_steps=1)
    assert not found.are_replicas_equal and not found.is_passed
    # Nothing else would show it.
    assert max(found.differences.values()) <= comparisons.BOUND


def test_replicas_that_begin_with_different_states_fail(monkeypatch):
    recipe = comparisons.plain_recipe()
    made = runners.Replicas.__init__

    def init(self, *arguments, **more):
        made(self, *arguments, **more)
        flat = [np.copy(value) for value in self._states[-1]]
        flat[1] += np.float32(1e-6)
        self._states = [*self._states[:-1], flat]

    monkeypatch.setattr(runners.Replicas, "__init__", init)
    found = comparisons.compared(recipe, num_steps=1)
    assert not found.are_replicas_equal and not found.is_passed


def test_a_difference_beyond_the_bound_or_unknown_fails():
    good = execution.Comparison(4, 1, {"loss": 1e-6, "weights": 1e-5}, True, 1e-5)
    assert good.is_passed
    assert not dataclasses.replace(good, bound=9e-6).is_passed
    assert not dataclasses.replace(good, are_replicas_equal=False).is_passed
    for number in (float("nan"), float("inf")):
        assert not dataclasses.replace(good, differences={"loss": number}).is_passed


def test_the_bound_of_a_gradient_grows_with_its_rounding_but_not_beyond_a_fifth():
    differences = {"loss": 0.0, "gradient": 0.04, "weights": 0.0}
    found = execution.Comparison(4, 1, differences, True, 1e-3, rounding=0.016)
    assert found.bounds == pytest.approx(
        {"loss": 1e-3, "gradient": 0.16, "weights": 1e-3}
    )
    assert found.is_passed
    assert not dataclasses.replace(found, rounding=0.0).is_passed
    assert not dataclasses.replace(found, differences={"weights": 0.04}).is_passed
    wrong = dataclasses.replace(found, differences={"gradient": 0.24}, rounding=1.0)
    assert not wrong.is_passed  # As an ascent among the wrong replicas is.
