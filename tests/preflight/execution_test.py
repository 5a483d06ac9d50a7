"""The lowered step on four virtual devices against the whole batch on one."""

import functools

import keras
import pytest

from sam_pod import errors, sam
from sam_pod.machines import groups, replicas
from sam_pod.models import batch_norm
from sam_pod.preflight import execution, runners, subject
from sam_pod.step import cadence, optimizers
from tests import fixtures, runs
from tests.preflight import comparisons

references_are_compiled_once = comparisons.references_are_compiled_once
OPTIMIZERS = {
    "nesterov": lambda: optimizers.sgd(0.9, True),
    "adamw": lambda: optimizers.adam(decoupled_weight_decay=0.1),
}


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def assert_passes(comparison, num_steps=2):
    assert comparison.is_passed, comparison
    assert comparison.are_replicas_equal
    assert comparison.num_steps == num_steps
    assert comparison.differences.keys() == {"loss", "gradient", "weights"}
    # Not one program compared with itself: some sum has another order.
    assert 0 < max(comparison.differences.values()) <= comparisons.BOUND
    # Weights at neighbouring floats have another gradient, and hardly.
    assert 0 < comparison.rounding <= comparisons.BOUND


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
    assert_passes(comparisons.compared(recipe))


@pytest.mark.parametrize("optimizer", ["adamw", slow("nesterov")])
def test_optimizers_of_either_kind_equal_the_whole_batch(optimizer):
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False),
        optimizer=OPTIMIZERS[optimizer](),
        weight_decay=0.01,
    )
    assert_passes(comparisons.compared(recipe))


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
    found = comparisons.compared(recipe, num_steps=3)
    # A new part is what two gradients differ by, so its rounding is larger.
    assert max(found.differences.values()) <= (
        1e-3 if name == "looksam" else comparisons.BOUND
    )
    assert found.are_replicas_equal
    assert taken == ([0, 1, 0] if name == "looksam" else [0, 0, 0])


@pytest.mark.slow
def test_steps_outside_of_a_window_are_compared_too():
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False), cadence=cadence.Cadence(every=7)
    )
    assert len(recipe.programs) == 2
    assert_passes(comparisons.compared(recipe))


@pytest.mark.parametrize("sync", ["global", "2"])
def test_hardest_examples_of_a_group_are_refused_in_one_line(sync):
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False), variant=MEMBERS["esam"], sync=sync
    )
    with pytest.raises(
        errors.UserError, match=r"'esam'.*; set `sam\.sync` to 'replica'"
    ):
        comparisons.compared(recipe, num_steps=1)


def test_plain_descent_equals_the_whole_batch():
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False), rho=0.0)
    assert_passes(comparisons.compared(recipe))


def test_one_replica_equals_itself():
    recipe = comparisons.plain_recipe()
    comparison = execution.compare_recipes(
        recipe,
        execution.reference(recipe, recipe, 1),
        fixtures.batches(1, comparisons.BATCH),
        num_replicas=1,
        bound=comparisons.BOUND,
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
    assert_passes(comparisons.compared(recipe))


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["global", "2"])
def test_a_shared_batch_norm_equals_one_of_the_whole_group(sync):
    size = groups.size(sync, comparisons.REPLICAS)
    shared = fixtures.small_model(dropout=0.5)
    batch_norm.share_batches(
        shared.model,
        lambda tensors: replicas.group_mean(tensors, size),
        over_all_replicas=size == comparisons.REPLICAS,
    )
    recipe = fixtures.small_recipe(shared, sync=sync)
    whole = fixtures.small_recipe(fixtures.small_model(dropout=0.5), sync=sync)
    assert_passes(comparisons.compared(recipe, whole, shares_batch=True))
    if sync == "global":  # Each replica's own batch is another step.
        assert not comparisons.compared(
            whole, whole, num_steps=1, shares_batch=True
        ).is_passed


@pytest.mark.slow
def test_a_config_in_bfloat16_is_compared_as_main_would_run_it(tmp_path):
    config = runs.small_config(
        tmp_path,
        dtype="bfloat16",
        **{"sam.sync": "norm", "optimizer.name": "adamw", "data.augment": ""},
    )
    found = execution.compare(
        subject.build(config), num_replicas=comparisons.REPLICAS, num_steps=2
    )
    assert found.is_passed, found
    assert found.bound == execution.BOUNDS["bfloat16"]
    assert max(found.differences.values()) > 1e-4  # It is bfloat16 that was run.


def test_draws_for_a_batch_with_a_batch_norm_of_all_are_refused_in_one_line(tmp_path):
    config = runs.small_config(tmp_path, **{"model.batch_norm": "global"})
    runs.save_model(config.model.name, first=keras.layers.RandomBrightness(0.1))
    with pytest.raises(errors.UserError, match="layers draw numbers for a batch"):
        execution.compare(
            subject.build(config), num_replicas=comparisons.REPLICAS, num_steps=1
        )
