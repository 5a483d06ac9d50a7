"""Every recipe and variant loads, validates and takes a step on its own terms."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.config import recipes, rules
from sam_pod.data.input import dataset, pipeline
from sam_pod.run import build
from sam_pod.step import loop as loop_lib
from sam_pod.step import metrics, schedules
from sam_pod.step import state as state_lib
from tests import fixtures, runs, shallow

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"


def variants(*names):
    """Yield each recipe with its variants, by the first of the names that it has."""
    for path in sorted(CONFIGS.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        has = next((name for name in names if hasattr(module, name)), None)
        for variant in getattr(module, has) if has else ("",):
            yield f"{path}:{variant}"


def takes():
    """Yield each recipe, and each way of the first; most are slow tests.

    What a type or rho = 0 changes is the same in every recipe.
    """
    # STEPS are the variants whose steps differ in kind, where there are many.
    every = sorted(variants("STEPS", "VARIANTS"), key=lambda r: "resnet20.py" not in r)
    first, *others = every
    ways = [("float32", None), ("bfloat16", None), ("float32", 0.0)]
    for recipe, way in [*((first, w) for w in ways), *((r, ways[0]) for r in others)]:
        marks = () if way == ways[1] else pytest.mark.slow
        name = f"{recipe.rpartition('/')[2]}-{way[0]}-{way[1]}"
        yield pytest.param(recipe, *way, marks=marks, id=name)


def test_every_variant_loads_and_validates():
    for path in sorted(CONFIGS.glob("*.py")):
        found = [r for r in variants("VARIANTS") if r.startswith(f"{path}:")]
        configs = [recipes.load(recipe) for recipe in found]
        for config in configs:
            rules.validate(config)
        # The one without a name may be another's.
        named = [
            c.to_json() for c, r in zip(configs, found, strict=True) if r[-1] != ":"
        ]
        assert len(set(named)) == len(named)


def stand_in(config, folder):
    """Write tiny data under the name of the recipe's, and make the recipe take them."""
    noise = {key: config.data[key] for key in ("label_noise", "label_noise_kind")}
    name = config.data.name
    fixtures.write_data(folder, train=20, test=8, classes=10, name=name, **noise)
    config.data.dir = str(folder)
    config.data.image_size = min(config.data.image_size, 32)
    if config.model.name.endswith(".keras"):
        config.model.name = str(folder / "model.keras")
        runs.save_model(config.model.name, (32, 32, 3), 10)
    return dataset.load(config)


def first_batches(strategy, config, data):
    """Return an iterator of the first training batches, of four."""
    input_fn = pipeline.training(
        data.splits(4)["train"], global_batch_size=4, seed=config.seed, start_step=0
    )
    return iter(
        strategy.distribute_datasets_from_function(
            lambda context: loop_lib.stamped(input_fn(context))
        )
    )


@pytest.mark.parametrize(("recipe", "dtype", "rho"), takes())
def test_takes_a_step(recipe, dtype, rho, tmp_path, monkeypatch):
    shallow.give_few_blocks(monkeypatch)
    config = recipes.load(recipe)
    rules.validate(config)
    # The batch of the recipe is for an accelerator; the step is the recipe's own.
    config.global_batch_size, config.dtype = 4, dtype
    if rho is not None:
        config.sam.rho = rho
    data = stand_in(config, tmp_path / "data")
    built = build.build_recipe(config, data.manifest, epoch_steps=4)
    peak = tf.constant(config.optimizer.learning_rate)
    assert float(built.rho(None, peak)) == pytest.approx(config.sam.rho)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(strategy, built.network, built.optimizer)
    before = [w.numpy() for w in state.weights]
    batches = first_batches(strategy, config, data)
    loop = loop_lib.compile_train(strategy, state, built)
    rows = loop(batches, tf.constant(2, tf.int64))[0].numpy()
    assert np.isfinite(rows).all()
    # The second step's: at the first one GSAM's warmup may have a radius of 0.
    names = (*metrics.TRAIN, *built.metrics)
    report = dict(zip(names, rows[1], strict=True))
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


@pytest.mark.parametrize(
    ("variant", "rate", "kind", "rho"),
    [
        ("", 0.4, "excluding", 0.1),
        ("80", 0.8, "excluding", 0.05),
        ("80-including", 0.8, "including", 0.05),
        ("20-asymmetric", 0.2, "asymmetric", 0.1),
    ],
)
def test_noisy_labels_are_the_papers(variant, rate, kind, rho):
    config = recipes.load(f"{CONFIGS}/noisy_labels.py:{variant}")
    data = config.data
    assert (data.label_noise, data.label_noise_kind, config.sam.rho) == (
        rate,
        kind,
        rho,
    )
    assert (config.model.name, config.num_epochs) == ("resnet32", 200)


@pytest.mark.parametrize(
    ("variant", "epochs", "rate", "decay", "rho"),
    [
        ("", 200, 0.1, 5e-4, 0.05),
        ("cifar100", 200, 0.1, 5e-4, 0.1),
        ("cutout-1800", 1800, 0.05, 1e-3, 0.05),
        ("cifar100-autoaugment-1800", 1800, 0.05, 1e-3, 0.1),
        ("svhn-autoaugment", 200, 0.01, 5e-4, 0.01),
        ("fashion_mnist-cutout", 200, 0.1, 5e-4, 0.05),
        ("cifar100-asam", 200, 0.1, 5e-4, 1.0),
    ],
)
def test_wide_resnets_are_those_of_table_6(variant, epochs, rate, decay, rho):
    """And what the code has beside it."""
    config = recipes.load(f"{CONFIGS}/wide_resnet.py:{variant}")
    optimizer, data = config.optimizer, config.data
    found = (config.num_epochs, optimizer.learning_rate, optimizer.weight_decay)
    assert (*found, config.sam.rho) == (epochs, rate, decay, rho)
    assert (optimizer.decays_in, optimizer.clip_norm) == ("loss_all", 5.0)
    assert optimizer.nesterov and not optimizer.rate_in_velocity
    assert (data.crop_fill, data.validation) == ("reflect", "none")
    assert config.model.name == "wrn28_10"


@pytest.mark.parametrize(
    ("variant", "shaken", "epochs", "rate", "rho"),
    [
        ("", "on", 1800, 0.02, 0.05),
        ("cifar100-autoaugment", "on", 1800, 0.05, 0.05),
        ("272", "off", 1800, 0.05, 0.05),
        ("272-cifar100-cutout", "off", 1800, 0.05, 0.2),
        ("110-cifar100-200", "off", 200, 0.05, 0.2),
        ("cifar100-asam", "on", 1800, 0.05, 1.0),
    ],
)
def test_pyramidnets_are_those_of_table_6(variant, shaken, epochs, rate, rho):
    config = recipes.load(f"{CONFIGS}/pyramidnet.py:{variant}")
    depth = "110" if variant.startswith("110") else "272"
    assert (config.model.name, config.model.shake_drop) == (
        f"pyramidnet{depth}",
        shaken,
    )
    found = (config.num_epochs, config.optimizer.learning_rate, config.sam.rho)
    assert found == (epochs, rate, rho)
    assert config.optimizer.weight_decay == 5e-4


@pytest.mark.parametrize(
    ("variant", "epochs", "rate", "decay", "rho"),
    [
        ("", 1800, 0.02, 1e-3, 0.02),
        ("cifar100-cutout", 1800, 0.02, 1e-3, 0.05),
        ("svhn-autoaugment-200", 200, 0.01, 5e-4, 0.01),
        ("fashion_mnist-cutout-200", 200, 0.1, 5e-4, 0.02),
    ],
)
def test_shake_shakes_are_those_of_table_6(variant, epochs, rate, decay, rho):
    config = recipes.load(f"{CONFIGS}/shake_shake.py:{variant}")
    optimizer = config.optimizer
    found = (config.num_epochs, optimizer.learning_rate, optimizer.weight_decay)
    assert (*found, config.sam.rho) == (epochs, rate, decay, rho)
    assert config.model.name == "shake_shake26_2x96d"


@pytest.mark.parametrize(
    ("variant", "network", "epochs", "rate", "rho"),
    [
        ("", "resnet50", 100, 1.0, 0.05),
        ("resnet152-400", "resnet152", 400, 1.0, 0.05),
        ("resnet101-90-gsam", "resnet101", 90, 1.6, 0.04),
    ],
)
def test_resnets_are_those_of_table_2_and_of_gsams(variant, network, epochs, rate, rho):
    config = recipes.load(f"{CONFIGS}/resnet_imagenet.py:{variant}")
    assert (config.model.name, config.num_epochs) == (network, epochs)
    assert (config.optimizer.learning_rate, config.sam.rho) == (rate, rho)
    data = config.data
    assert (data.label_smoothing, data.interpolation, data.image_size) == (
        0.1,
        "bicubic",
        224,
    )
    assert config.global_batch_size == 32 * 128
    if config.sam.variant == "gsam":
        rates = schedules.build(config, steps_per_epoch=312)
        found = [float(rates(tf.constant(s), tf.constant(1.0))) for s in (4999, 28_079)]
        assert found == pytest.approx([1.6, 0.016], rel=1e-2)
        assert (config.sam.rho_min, config.sam.gsam.alpha) == (0.02, 0.01)


@pytest.mark.parametrize(
    ("network", "rho_min", "alpha"),
    [
        ("vit_s32", 0.0, 0.4),
        ("vit_s16", 0.0, 1.0),
        ("vit_b32", 0.1, 0.6),
        ("vit_b16", 0.2, 0.4),
    ],
)
def test_transformers_are_those_of_gsams_table_4(network, rho_min, alpha):
    variant = "" if network == "vit_s16" else network
    config = recipes.load(f"{CONFIGS}/vit_imagenet.py:{variant}")
    sam = config.sam
    assert (sam.variant, sam.rho, sam.rho_min) == ("gsam", 0.6, rho_min)
    assert (config.model.name, sam.gsam.alpha) == (network, alpha)
    rates = schedules.build(config, steps_per_epoch=309)
    steps = (9_999, 300 * 309)
    found = [float(rates(tf.constant(s), tf.constant(1.0))) for s in steps]
    assert found == pytest.approx([3e-3, 3e-5])


@pytest.mark.parametrize(
    ("variant", "epochs", "rate", "rho", "augment"),
    [
        ("", 104, 0.016, 0.05, "autoaugment"),
        ("cars", 714, 0.016, 0.05, ""),
        ("food101-code", 68, 0.016, 0.1, ""),
        ("imagenet", 10, 0.1, 0.05, ""),
        ("flowers-resnet50", 5000, 0.016, 0.05, ""),
    ],
)
def test_fine_tuning_is_as_in_the_paper(variant, epochs, rate, rho, augment):
    """5,000 steps of 1,024 images, but for ImageNet, with BatchNorm frozen."""
    config = recipes.load(f"{CONFIGS}/finetune.py:{variant}")
    assert (config.num_epochs, config.optimizer.learning_rate) == (epochs, rate)
    assert (config.sam.rho, config.data.augment) == (rho, augment)
    assert (config.optimizer.weight_decay, config.global_batch_size) == (1e-5, 1024)
    assert config.model.freeze_batch_norm
    assert bool(config.model.initial_weights) == ("resnet50" in variant)
