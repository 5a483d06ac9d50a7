"""Every page of recipes takes steps that JAX executes, as it does by TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from sam_pod.config import recipes, rules
from sam_pod.run import build
from sam_pod.step import metrics
from sam_pod.step import state as state_lib
from tests import configs_test
from tests.pjrt import needs_jax

pytestmark = needs_jax


def takes():
    """Yield each recipe; all but the first are slow tests."""
    every = sorted(
        configs_test.variants("STEPS", "VARIANTS"),
        key=lambda recipe: not recipe.endswith("resnet20.py:"),
    )
    for number, recipe in enumerate(every):
        marks = (pytest.mark.slow,) if number else ()
        yield pytest.param(recipe, marks=marks, id=recipe.rpartition("/")[2])


@pytest.fixture(autouse=True)
def as_main():
    """Let TensorFlow lower as in a run, which does not ask it for determinism."""
    tf_config.disable_op_determinism()
    yield
    tf_config.enable_op_determinism()


@pytest.mark.parametrize("recipe", list(takes()))
def test_takes_a_step(recipe, tmp_path):
    import jax

    from sam_pod.pjrt import connect

    config = recipes.load(recipe)
    rules.validate(config)
    # The batch of the recipe is for an accelerator; the step is the recipe's own.
    config.global_batch_size = 4
    data = configs_test.stand_in(config, tmp_path / "data")
    built = build.build_recipe(config, data.manifest, epoch_steps=4)
    jax.config.update("jax_enable_x64", True)
    runtime = connect.of(jax.devices("cpu")[:1])
    strategy, executor = runtime.strategy, runtime.executor
    # What is compiled runs twice: the compiler need not try hard.
    executor._options = {"xla_backend_optimization_level": 0}
    state = state_lib.create(
        strategy, built.network, built.optimizer, built.variant, built.average
    )
    before = [w.numpy() for w in state.weights]
    batches = configs_test.first_batches(strategy, config, data)
    loop = executor.compile_train(state, built)
    rows = loop(batches, tf.constant(2, tf.int64))[0].numpy()
    executor.settle(state)
    assert np.isfinite(rows).all()
    report = dict(zip((*metrics.TRAIN, *built.metrics), rows[1], strict=True))
    assert (report["train/sharpness"] != 0) == (config.sam.rho > 0)
    assert any(
        np.abs(w.numpy() - old).max() > 0
        for w, old in zip(state.weights, before, strict=True)
    )
