"""The lowered step on four virtual devices against the whole batch on one."""

import dataclasses
import functools

import numpy as np
import pytest

from sam_pod import errors, sam
from sam_pod.machines import groups, replicas
from sam_pod.models import batch_norm
from sam_pod.preflight import execution, runners, subject
from sam_pod.step import cadence, optimizers
from tests import fixtures, runs

REPLICAS, BATCH = 4, 16
OPTIMIZERS = {
    "sgd": lambda: optimizers.sgd(0.0, False),
    "momentum": lambda: optimizers.sgd(0.9, False),
    "nesterov": lambda: optimizers.sgd(0.9, True),
    "adam": optimizers.adam,
    "adamw": lambda: optimizers.adam(decoupled_weight_decay=0.1),
}
# For ||a - b|| / ||b||: float32 sums in another order, and nothing else.
BOUND = 2e-5


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


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


def assert_passes(comparison, num_steps=2):
    assert comparison.is_passed, comparison
    assert comparison.are_replicas_equal
    assert comparison.num_steps == num_steps
    assert comparison.differences.keys() == {"loss", "gradient", "weights"}
    # Not one program compared with itself: some sum has another order.
    assert 0 < max(comparison.differences.values()) <= BOUND
    # Weights at neighbouring floats have another gradient, and hardly.
    assert 0 < comparison.rounding <= BOUND


@pytest.mark.parametrize(
    ("sync", "micro_batches", "accumulate_steps"),
    [
        slow("global", 1, 1),
        slow("replica", 1, 1),
        slow("norm", 1, 1),
        slow("2", 1, 1),
        ("2", 2, 2),
    ],
)
def test_every_mode_equals_the_whole_batch(sync, micro_batches, accumulate_steps):
    recipe = fixtures.small_recipe(
        fixtures.small_model(),
        sync=sync,
        micro_batches=micro_batches,
        accumulate_steps=accumulate_steps,
    )
    assert_passes(compared(recipe))


@pytest.mark.parametrize(
    "optimizer", ["adamw", *(slow(name) for name in OPTIMIZERS if name != "adamw")]
)
def test_every_optimizer_equals_the_whole_batch(optimizer):
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False),
        optimizer=OPTIMIZERS[optimizer](),
        weight_decay=0.01,
    )
    assert_passes(compared(recipe))


MEMBERS = {
    "random": sam.random.build(),
    "gsam": sam.gsam.build(),
    "looksam": sam.looksam.build(k=5, alpha=0.7),
    "esam": sam.esam.build(0.6, 0.5),
    "wsam": sam.wsam.build(0.9),
    "friendly": sam.friendly.build(),
    "msam": sam.msam.build(),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sync"),
    [
        ("looksam", "2"),
        ("random", "2"),
        ("esam", "replica"),
        ("wsam", "2"),
        ("gsam", "global"),
        ("friendly", "replica"),
        ("msam", "global"),
    ],
)
def test_every_program_of_a_member_equals_the_whole_batch(name, sync, monkeypatch):
    """From its second turn on a member has a memory, or a momentum."""
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=name != "looksam"), sync=sync, variant=MEMBERS[name]
    )
    taken = []
    step = runners.Replicas.step
    monkeypatch.setattr(
        runners.Replicas,
        "step",
        lambda self, x, y, program: taken.append(program) or step(self, x, y, program),
    )
    found = compared(recipe, num_steps=3)
    # A new part is what two gradients differ by, so its rounding is larger.
    assert max(found.differences.values()) <= (1e-3 if name == "looksam" else BOUND)
    assert found.are_replicas_equal
    assert taken == ([0, 1, 0] if name == "looksam" else [0, 0, 0])


@pytest.mark.slow
def test_steps_outside_of_a_window_are_compared_too():
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False), cadence=cadence.Cadence(every=7)
    )
    assert len(recipe.programs) == 2
    assert_passes(compared(recipe))


def test_what_is_subtracted_beside_the_optimizer_is_compared():
    """WSAM's sharpness: replicas that leave it out are not where one device is."""
    variant = sam.wsam.build(0.9)
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False), variant=variant)

    def finish(*arguments):
        return variant.finish(*arguments)._replace(correction=None)

    without = dataclasses.replace(
        recipe, variant=dataclasses.replace(variant, finish=finish)
    )
    found = compared(without, recipe, num_steps=1)
    assert found.differences["weights"] > 0.1 > BOUND > found.differences["gradient"]


@pytest.mark.parametrize("sync", ["global", "2"])
def test_hardest_examples_of_a_group_are_refused_in_one_line(sync):
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False), variant=MEMBERS["esam"], sync=sync
    )
    with pytest.raises(
        errors.UserError, match=r"'esam'.*; set `sam\.sync` to 'replica'"
    ):
        compared(recipe, num_steps=1)


def test_plain_descent_equals_the_whole_batch():
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False), rho=0.0)
    assert_passes(compared(recipe))


def test_one_replica_equals_itself():
    recipe = plain_recipe()
    comparison = execution.compare_recipes(
        recipe,
        execution.reference(recipe, recipe, 1),
        fixtures.batches(1, BATCH),
        num_replicas=1,
        bound=BOUND,
    )
    assert comparison.is_passed and comparison.num_replicas == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "norm"),
    [
        ("flip,brightness,cutmix", False),
        ("crop,flip,randaugment,brightness,color_jitter,cutout,cutmix", True),
    ],
)
def test_augmentation_and_dropout_draw_the_same_on_any_number_of_devices(names, norm):
    recipe = fixtures.augmented_recipe(
        fixtures.small_model(norm=norm, dropout=0.5), names, sync="2"
    )
    assert_passes(compared(recipe))


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["global", "2"])
def test_a_shared_batch_norm_equals_one_of_the_whole_group(sync):
    size = groups.size(sync, REPLICAS)
    shared = fixtures.small_model()
    batch_norm.share_batches(
        shared.model,
        lambda tensors: replicas.group_mean(tensors, size),
        over_all_replicas=size == REPLICAS,
    )
    recipe = fixtures.small_recipe(shared, sync=sync)
    whole = fixtures.small_recipe(fixtures.small_model(), sync=sync)
    assert_passes(compared(recipe, whole, shares_batch=True))
    if sync == "global":  # Each replica's own batch is another step.
        assert not compared(whole, whole, num_steps=1, shares_batch=True).is_passed


@pytest.mark.slow
def test_a_config_in_bfloat16_is_compared_as_main_would_run_it(tmp_path):
    config = runs.small_config(
        tmp_path,
        dtype="bfloat16",
        **{"sam.sync": "norm", "optimizer.name": "adamw", "data.augment": ""},
    )
    found = execution.compare(subject.build(config), num_replicas=REPLICAS, num_steps=2)
    assert found.is_passed, found
    assert found.bound == execution.BOUNDS["bfloat16"]
    assert max(found.differences.values()) > 1e-4  # It is bfloat16 that was run.


def test_dropout_with_a_batch_norm_of_all_is_refused_in_one_line(tmp_path):
    config = runs.small_config(tmp_path, **{"model.batch_norm": "global"})
    with pytest.raises(errors.UserError, match="cannot compare a model with dropout"):
        execution.compare(subject.build(config), num_replicas=REPLICAS, num_steps=1)


def broken(change):
    """Return the reference, and a recipe whose optimizer gets another gradient."""
    recipe = plain_recipe()
    update = recipe.optimizer.update
    optimizer = dataclasses.replace(
        recipe.optimizer,
        update=lambda gradient, *rest: update(change(gradient), *rest),
    )
    return dataclasses.replace(recipe, optimizer=optimizer), recipe


def test_a_gradient_that_is_reduced_twice_fails():
    """As an optimizer of Keras does, which sums over the replicas by itself."""
    found = compared(*broken(replicas.total), num_steps=1)
    assert not found.is_passed
    assert found.differences["weights"] == pytest.approx(REPLICAS - 1, rel=1e-3)


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
    recipe = plain_recipe()
    keep_local("gradients")
    found = compared(recipe, num_steps=1)
    assert not found.is_passed and not found.are_replicas_equal
    assert found.differences["gradient"] > 0.1 > BOUND > found.differences["loss"]


def test_statistics_left_local_fail(keep_local):
    recipe = fixtures.small_recipe(fixtures.small_model())
    keep_local("stats")
    found = compared(recipe, num_steps=1)
    assert not found.are_replicas_equal and not found.is_passed
    assert max(found.differences.values()) <= BOUND  # Nothing else would show it.


def test_replicas_that_begin_with_different_states_fail(monkeypatch):
    recipe = plain_recipe()
    made = runners.Replicas.__init__

    def init(self, *arguments, **more):
        made(self, *arguments, **more)
        flat = [np.copy(value) for value in self._states[-1]]
        flat[1] += np.float32(1e-6)
        self._states = [*self._states[:-1], flat]

    monkeypatch.setattr(runners.Replicas, "__init__", init)
    found = compared(recipe, num_steps=1)
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
