"""Every recipe and variant loads, validates and takes a step on its own terms."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.config import recipes, rules
from sam_pod.data.input import pipeline
from sam_pod.run import build
from sam_pod.step import loop as loop_lib
from sam_pod.step import metrics
from sam_pod.step import state as state_lib
from tests import fixtures

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"


def variants():
    for path in sorted(CONFIGS.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for variant in getattr(module, "VARIANTS", ("",)):
            yield f"{path}:{variant}"


def takes():
    """Yield each recipe, and each way of the first; most are slow tests.

    What a type or rho = 0 changes is the same in every recipe.
    """
    first, *others = variants()
    ways = [("float32", None), ("bfloat16", None), ("float32", 0.0)]
    for recipe, way in [*((first, w) for w in ways), *((r, ways[0]) for r in others)]:
        marks = () if way == ways[1] else pytest.mark.slow
        name = f"{recipe.rpartition('/')[2]}-{way[0]}-{way[1]}"
        yield pytest.param(recipe, *way, marks=marks, id=name)


@pytest.mark.parametrize(("recipe", "dtype", "rho"), takes())
def test_takes_a_step(recipe, dtype, rho, tmp_path):
    config = recipes.load(recipe)
    rules.validate(config)
    # The batch of the recipe is for an accelerator; the step is the recipe's own.
    config.global_batch_size, config.dtype = 4, dtype
    if rho is not None:
        config.sam.rho = rho
    manifest = fixtures.write_data(tmp_path / "data", train=20, test=8, classes=10)
    built = build.build_recipe(config, manifest, epoch_steps=4)
    assert built.rho(None, None) == config.sam.rho
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(strategy, built.network, built.optimizer)
    before = [w.numpy() for w in state.weights]
    split = pipeline.splits(str(tmp_path / "data"), manifest, 4)["train"]
    input_fn = pipeline.training(
        split, global_batch_size=4, seed=config.seed, start_step=0
    )
    batches = strategy.distribute_datasets_from_function(
        lambda context: loop_lib.stamped(input_fn(context))
    )
    loop = loop_lib.compile_train(strategy, state, built)
    rows = loop(iter(batches), tf.constant(2, tf.int64))[0].numpy()
    assert np.isfinite(rows).all()
    report = dict(zip(metrics.TRAIN, rows[0], strict=True))
    assert (report["train/sharpness"] != 0) == (config.sam.rho > 0)
    assert any(
        np.abs(w.numpy() - old).max() > 0
        for w, old in zip(state.weights, before, strict=True)
    )
    assert {w.dtype for w in [*state.weights, *state.stats]} == {tf.float32}


def test_the_default_recipe_is_the_seeds():
    config = recipes.load(f"{CONFIGS}/resnet20.py")
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("adam", 1e-3)
    assert (config.global_batch_size, config.num_epochs) == (1024, 100)
    assert config.schedule.name == "plateau"
    assert (config.schedule.plateau_factor, config.schedule.plateau_patience) == (
        0.5,
        3,
    )
    assert config.early_stopping.patience == 10
    assert config.early_stopping.restore_best_weights
    assert (config.data.augment, config.data.crop_padding) == ("crop,brightness", 4)
    assert config.data.brightness_delta == 0.5
    assert config.sam.rho == 0.05
