"""A small recipe on four virtual devices, compared with the whole batch on one."""

import functools

import pytest

from sam_pod.preflight import execution, runners
from tests import fixtures

REPLICAS, BATCH = 4, 16
# For ||a - b|| / ||b||: float32 sums in another order, and nothing else.
BOUND = 2e-5


@functools.cache
def plain_recipe():
    """Return the recipe that most faults are put into: its reference is compiled once.

    No test may change it; `dataclasses.replace` makes another of the same parts.
    """
    return fixtures.small_recipe(fixtures.small_model(norm=False))


@pytest.fixture(autouse=True, scope="module")
def references_are_compiled_once():
    """Give equal recipes the same compiled reference: it keeps nothing of a step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runners, "Alone", functools.cache(runners.Alone))
        yield


def compared(recipe, whole=None, *, num_steps=2, shares_batch=False):
    """Compare a recipe on replicas with `whole`, its own reference when None."""
    return execution.compare_recipes(
        recipe,
        execution.reference(
            recipe, whole or recipe, REPLICAS, shares_batch=shares_batch
        ),
        fixtures.batches(num_steps, BATCH),
        num_replicas=REPLICAS,
        bound=BOUND,
    )
