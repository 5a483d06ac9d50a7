"""Programs on virtual devices: the all-reduces take place, and types are kept."""

import dataclasses

import jax
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.lowering import execute, programs
from sam_pod.step import optimizers
from tests import fixtures

REPLICAS, BATCH = 4, 4


@pytest.fixture(scope="module")
def recipe():
    return fixtures.small_recipe(fixtures.small_model())


@pytest.fixture(scope="module")
def evaluation(recipe):
    return programs.evaluation(
        recipe, (6, 6, 3), num_replicas=REPLICAS, per_replica_batch_size=BATCH
    )


def flat(recipe):
    return [np.asarray(v) for v in tf.nest.flatten(programs.initial_values(recipe))]


def test_every_replica_gets_the_sum_over_all_of_them(recipe, evaluation):
    ((images, labels),) = fixtures.batches(1, REPLICAS * BATCH)
    mask = (np.arange(REPLICAS * BATCH) % 3 > 0).astype(np.float32)
    parts = [slice(r * BATCH, (r + 1) * BATCH) for r in range(REPLICAS)]
    found = execute.Executable(evaluation)(
        [
            [*flat(recipe), np.int32(r), images[p], labels[p], mask[p]]
            for r, p in enumerate(parts)
        ]
    )
    weights = list(recipe.network.initial_weights().values())
    stats = list(recipe.network.initial_stats().values())
    logits = recipe.network.apply(weights, stats, recipe.evaluation_images(images))
    scores = logits.logits.numpy()
    right = (scores.argmax(-1) == labels) @ mask
    odds = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    loss = -odds[np.arange(len(labels)), labels] @ mask
    for (sums,) in found:
        assert sums.shape == (3,)
        assert sorted(sums) == pytest.approx(sorted([loss, right, mask.sum()]))


def test_each_replica_gets_its_own_inputs_and_int64_stays_int64(recipe):
    """A learning rate of zero, and each replica another state: each keeps its own."""
    plain = fixtures.small_recipe(
        recipe.network,
        rho=0.0,
        optimizer=optimizers.sgd(0.0, False),
        schedule=lambda step, scale: scale,
    )
    program = programs.train_step(
        plain,
        (6, 6, 3),
        num_replicas=REPLICAS,
        per_replica_batch_size=BATCH,
    )
    ((images, labels),) = fixtures.batches(1, BATCH)
    step, *rest, _ = flat(plain)
    inputs = [
        [step + 2**40 + r, *(x + r for x in rest), np.float32(0), r, images, labels]
        for r in map(np.int32, range(REPLICAS))
    ]
    for r, outputs in enumerate(execute.Executable(program)(inputs)):
        assert outputs[0].dtype == np.int64
        assert outputs[0] == 2**40 + r + 1
        np.testing.assert_array_equal(outputs[1], rest[0] + np.float32(r))
    assert not jax.config.jax_enable_x64  # Elsewhere all is as it was.


def test_too_few_virtual_devices_are_refused_with_the_flag_that_helps(evaluation):
    count = len(jax.devices("cpu"))
    larger = dataclasses.replace(evaluation, num_replicas=count + 1)
    with pytest.raises(errors.UserError) as caught:
        execute.Executable(larger)
    assert f"There are {count} virtual devices for {count + 1}" in str(caught.value)
    assert f"--xla_force_host_platform_device_count={count + 1}" in str(caught.value)
