"""Every way of reading feeds the compiled loop, and equal pixels make equal bits.

A way is where the images lie (raw, as PNG, as PNG files of others, in a bucket) and
whether they are held. One loop is compiled for all of them: their batches have one
type, whose sizes are known.
"""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.config import keys as config_lib
from sam_pod.data import augment
from sam_pod.data.input import dataset, pipeline
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib
from sam_pod.storage import files
from tests import fixtures, runs
from tests.data import sets
from tests.training import run

TRAIN, TEST, HELD_OUT, BATCH = 36, 9, 8, 8
SIZES = {"as stored": (8, 8), "resized": (12, 9), "in parts": (12, 9)}
PLACES = ("raw", "png", "foreign", "bucket", "bucket of png")


def write(folder, place, size):
    """Write the images of a size; return the keys of the config that name them."""
    images = [sets.noisy(i, size) for i in range(TRAIN + TEST)]
    encoded = [sets.png(image) for image in images]
    if place == "foreign":
        folder.mkdir()
        for split, part in (("train", encoded[:TRAIN]), ("test", encoded[TRAIN:])):
            rows = [sets.serialized(x, i % 5) for i, x in enumerate(part)]
            sets.write_file(folder / f"{split}-0", rows)
        return {
            "data.dir": str(folder),
            "data.files.train": "train-*",
            "data.files.test": "test-*",
            "data.num_classes": sets.CLASSES,
        }
    content = images if place in ("raw", "bucket") else encoded
    sets.write(folder, content[:TRAIN], tests=content[TRAIN:])
    if "bucket" not in place:
        return {"data.dir": str(folder)}
    bucket = f"ram://ways/{folder.name}"
    for path in folder.iterdir():
        tf.io.gfile.copy(str(path), f"{bucket}/{path.name}", overwrite=True)
    return {"data.dir": bucket}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Return for a size and a place the keys of the config."""
    root, made = tmp_path_factory.mktemp("ways"), {}
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(root / "cache"))

    def keys(pixels, place):
        size = SIZES[pixels]
        if (size, place) not in made:
            name = f"{place} {size[0]}".replace(" ", "-")
            made[size, place] = write(root / name, place, size)
        return made[size, place]

    yield keys
    patch.undo()
    files.remove_folder("ram://ways")


def configured(keys, pixels, fraction, augmentation="flip"):
    """Return the config of a way."""
    config = config_lib.defaults()
    config.data.name = "images"
    for key, value in keys.items():
        put(config, key, value)
    parts = ",inception" if pixels == "in parts" else ""
    config.data.augment = augmentation + parts
    config.data.image_size = 8
    config.data.memory_fraction = fraction
    config.data.validation_examples = HELD_OUT
    config.global_batch_size = BATCH
    return config


def put(config, key, value):
    section, _, name = key.rpartition(".")
    for part in section.split("."):
        config = config[part]
    config[name] = value


class Trainer:
    """The loops of one number of replicas, compiled once for all ways."""

    def __init__(self, replicas):
        self.replicas = replicas
        self.strategy = (
            tf.distribute.OneDeviceStrategy("/cpu:0")
            if replicas == 1
            else fixtures.mirrored(replicas)
        )
        net = fixtures.small_model(dropout=0.1, shape=(8, 8, 3), classes=5)
        recipe = fixtures.augmented_recipe(net, "crop,brightness")
        self.state = state_lib.create(self.strategy, recipe.network, recipe.optimizer)
        self.first = state_lib.to_arrays(self.state)
        self.loop = loop_lib.compile_train(self.strategy, self.state, recipe)
        self.test_loop = loop_lib.compile_evaluation(self.strategy, self.state, recipe)
        self.group = recipe.groups.among(replicas)

    def results(self, data):
        """Return all that two steps and a pass over the test split leave."""
        state_lib.assign_arrays(self.state, self.first)
        splits = data.splits(HELD_OUT)
        training = pipeline.training(
            splits["train"],
            global_batch_size=BATCH,
            seed=2,
            start_step=2,
            group_size=self.group,
        )
        rows = self._run(self.loop, training, 2)
        steps = pipeline.evaluation_steps(splits["test"], BATCH)
        testing = pipeline.evaluation(splits["test"], global_batch_size=BATCH)
        sums = self._run(self.test_loop, testing, steps)
        return [*state_lib.to_arrays(self.state), rows, sums]

    def _run(self, loop, input_fn, steps):
        batches = self.strategy.distribute_datasets_from_function(
            lambda context: loop_lib.stamped(input_fn(context))
        )
        return loop(iter(batches), tf.constant(steps, tf.int64))[0].numpy()


@pytest.fixture(scope="module", params=[1, 4])
def trainer(request):
    return Trainer(request.param)


# Building what reads takes a second: of 60 ways these few, and as slow tests each place
# held and streamed, and each place at each size.
FEW = {
    (1, "as stored"): [("raw", 1.0), ("raw", 0.0), ("foreign", 0.0), ("bucket", 0.0)],
    (1, "resized"): [("raw", 1.0), ("png", 0.0)],
    (4, "as stored"): [("png", 1.0), ("raw", 0.0)],
    (4, "in parts"): [("raw", 0.0), ("foreign", 1.0)],
}


def assert_all_equal(trainer, places, pixels, ways):
    expected = None
    for place, fraction in ways:
        data = dataset.load(configured(places(pixels, place), pixels, fraction))
        assert data.view.is_held == (fraction > 0)
        found = trainer.results(data)
        expected = expected or found
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{place}, {fraction}")
    assert np.isfinite(expected[-2]).all()
    assert trainer.loop.experimental_get_tracing_count() == 1
    assert trainer.test_loop.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_some_ways_to_the_same_pixels_train_to_the_same_bits(places, trainer):
    for (replicas, pixels), ways in FEW.items():
        if replicas == trainer.replicas:
            assert_all_equal(trainer, places, pixels, ways)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", [1], indirect=True)
@pytest.mark.parametrize("pixels", SIZES)
def test_every_place_and_size_trains_to_the_same_bits(places, trainer, pixels):
    odd = list(SIZES).index(pixels)
    ways = [(place, float((odd + i) % 2)) for i, place in enumerate(PLACES)]
    assert_all_equal(trainer, places, pixels, ways)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "replicas", "way"),
    [
        ("inception,flip,color_jitter,cutmix", 4, ("bucket", 0.0)),
        ("crop,flip,autoaugment,brightness,cutout", 1, ("png", 0.0)),
        ("randaugment,batch_cutout,mixup", 1, ("bucket", 0.0)),
    ],
)
def test_every_augmentation_trains_however_images_are_read(
    places, tmp_path, names, replicas, way
):
    """Whole runs of the trainer."""
    strategy = fixtures.mirrored(replicas)
    first, pixels = None, "resized"  # All to one size: parts are of equal images, then.
    # Those with one manifest: what cutout hides gets the mean that it says.
    for place, fraction in (("raw", 1.0), way):
        config = runs.small_config(tmp_path, **{"num_epochs": 1, "data.cutout_size": 4})
        keys = places(pixels, place)
        config.data.update(configured(keys, pixels, fraction, names).data)
        config.global_batch_size = BATCH
        runs.save_model(config.model.name, classes=sets.CLASSES)
        workdir = tmp_path / f"{place}-{fraction}"
        run(config, workdir, strategy=strategy)
        found = runs.checkpoint_values(workdir)
        first = first or found
        for key in first.keys() - {"progress/seconds/.ATTRIBUTES/VARIABLE_VALUE"}:
            np.testing.assert_array_equal(first[key], found[key], err_msg=str(workdir))


def test_every_augmentation_is_among_them():
    (mark,) = (
        mark
        for mark in test_every_augmentation_trains_however_images_are_read.pytestmark
        if mark.name == "parametrize"
    )
    chosen = {name for names, *_ in mark.args[1] for name in names.split(",")}
    assert chosen == set(augment.NAMES)
