"""The picture shows what the compiled step trains on, and changes nothing."""

import glob

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import dataset, pipeline
from sam_pod.run import build, contact_sheet
from sam_pod.step import algorithm, passes
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib
from tests import fixtures, runs
from tests.training import run

AUGMENT = "crop,flip,autoaugment,brightness,color_jitter,cutout,mixup,cutmix"


def everything(tmp_path, **more):
    return runs.small_config(
        tmp_path,
        **{
            "data.augment": AUGMENT,
            "data.cutout_size": 3,
            "data.label_smoothing": 0.1,
            "data.standardize": True,
            "num_epochs": 1,
            **more,
        },
    )


def of(config):
    """Return the recipe and the training split of a config."""
    data = dataset.load(config)
    return build.build_recipe(config, data.manifest, 5), data.splits(20)["train"]


def sheet_of(recipe, split):
    _, examples = contact_sheet.first(recipe, split, 16)
    return contact_sheet.make(recipe, examples, split.manifest.classes)


@pytest.mark.slow
def test_it_shows_the_first_batch_of_training_on_two_replicas(tmp_path, monkeypatch):
    """Each replica takes what it got and augmented; the sheet has the same pixels."""
    config = everything(tmp_path)
    recipe, split = of(config)
    strategy, seen = fixtures.mirrored(2), {}
    micro_batches = passes.micro_batches

    def spy(batch, number, recipe):
        (part,) = micro_batches(batch, number, recipe)

        def note(number, rows, images, labels):
            if number == 0:
                for row, image, label in zip(rows, images, labels, strict=True):
                    seen[int(row)] = image, label
            return np.int32(0)

        values = [number, part.rows, part.images, part.labels]
        noted = tf.numpy_function(note, values, tf.int32)
        with tf.control_dependencies([noted]):
            return [part._replace(images=tf.identity(part.images))]

    monkeypatch.setattr(algorithm.passes, "micro_batches", spy)
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)
    input_fn = pipeline.training(split, global_batch_size=16, seed=0, start_step=0)
    batches = strategy.distribute_datasets_from_function(
        lambda context: loop_lib.stamped(input_fn(context))
    )
    loop = loop_lib.compile_train(strategy, state, recipe)
    rows = loop(iter(batches), tf.constant(2, tf.int64))[0].numpy()
    assert np.isfinite(rows).all()
    assert sorted(seen) == list(range(16))

    sheet = sheet_of(recipe, split)
    images = np.stack([seen[row][0] for row in range(16)])
    images = images * np.float32(split.manifest.std) + np.float32(split.manifest.mean)
    np.testing.assert_allclose(sheet.picture, contact_sheet.grid(images), atol=1e-5)
    labels = np.stack([seen[row][1] for row in range(16)])
    assert sheet.labels == contact_sheet.table(labels, split.manifest.classes)
    assert " + " in sheet.labels


@pytest.mark.parametrize(
    ("batch", "count"), [(16, 16), (64, 32), (1024, 32), (72, 24), (9, 9), (1, 1)]
)
def test_how_many_there_are(batch, count):
    assert contact_sheet._num_examples(batch) == count


def test_grid_enlarges_and_keeps_to_rows():
    images = np.arange(11 * 2 * 3, dtype=np.float32).reshape(11, 2, 3, 1) / 66
    sheet = contact_sheet.grid(images)
    scale = 22  # 3 pixels to at least 64.
    assert sheet.shape == (2 * (44 + 2) - 2, 8 * (66 + 2) - 2, 3)
    for i, image in enumerate(images):
        y, x = i // 8 * 46, i % 8 * 68
        tile = sheet[y : y + 2 * scale : scale, x : x + 3 * scale : scale]
        np.testing.assert_array_equal(tile, np.repeat(image, 3, -1))
    assert (sheet[46:, 3 * 68 :] == 1).all()
    assert contact_sheet.grid(np.zeros((2, 100, 70, 3))).shape == (100, 142, 3)
    assert contact_sheet.grid(np.array([[[[-1.0, 0.5, 2.0]]]]))[0, 0].tolist() == (
        [0, 0.5, 1]
    )


def test_table_names_the_classes():
    hard = contact_sheet.table(np.arange(9) % 2, ["cat", "dog"])
    assert hard.splitlines() == [
        "|  |  |  |  |  |  |  |  |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| cat | dog | cat | dog | cat | dog | cat | dog |",
        "| cat |  |  |  |  |  |  |  |",
    ]
    soft = np.array([[0.02, 0.92, 0.02, 0.04], [0.25] * 4, [0.5, 0.5, 0, 0]])
    assert contact_sheet.table(soft, ["a", "b", "c", "d"]).splitlines()[-1] == (
        "| 0.92 b + 0.04 d | 0.25 a + 0.25 b | 0.50 a + 0.50 b |"
    )


@pytest.mark.slow
def test_a_run_writes_it_once_and_trains_to_the_same_bits(tmp_path, monkeypatch):
    config = everything(tmp_path)
    run(config, tmp_path / "with")
    images = [
        value
        for path in glob.glob(f"{tmp_path}/with/events*")
        for event in tf.compat.v1.train.summary_iterator(path)
        for value in event.summary.value
        if value.tag.startswith("train/contact_sheet")
    ]
    assert sorted(value.tag for value in images) == [
        "train/contact_sheet",
        "train/contact_sheet_labels",
    ]
    (picture,) = (v for v in images if v.tag == "train/contact_sheet")
    found = tf.io.decode_png(picture.tensor.string_val[2]).numpy() / 255
    recipe, split = of(config)
    sheet = sheet_of(recipe, split)
    np.testing.assert_allclose(found, sheet.picture, atol=0.004)

    nothing = contact_sheet.Sheet(np.zeros((1, 1, 3)), "")
    monkeypatch.setattr(contact_sheet, "make", lambda *args: nothing)
    run(config, tmp_path / "without")
    runs.assert_equal_scalars(tmp_path / "with", tmp_path / "without")
    runs.assert_equal_checkpoints(tmp_path / "with", tmp_path / "without")
