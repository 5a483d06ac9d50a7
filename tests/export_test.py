"""An exported run, in other runtimes: it goes on as the trainer does, and answers so.

tests/exported.py is the other runtime: JAX on the CPU, without this package.
"""

import json
import os
import pathlib
import shutil
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import config as config_lib
from sam_pod import errors, interrupts, metrics, models, session, step
from sam_pod.data import manifest as data_manifest
from sam_pod.data import pipeline
from sam_pod.export import __main__ as command
from sam_pod.export import folder as export
from sam_pod.lowering import programs
from tests import exported, fixtures, runs, train_test

STEPS = 20


class StopWhenSaved(threading.Event):
    """A stop flag that is set as soon as a run has a checkpoint."""

    def __init__(self, workdir):
        super().__init__()
        self._checkpoints = workdir / "checkpoints"

    def is_set(self):
        return any(self._checkpoints.glob("ckpt-*.index"))


def batches(config, start, count):
    """Return the global batches that the trainer takes from step `start` on."""
    data = data_manifest.read(config.data.dir)
    splits = pipeline.splits(config.data.dir, data, config.data.validation_examples)
    input_fn = pipeline.training(
        splits["train"],
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start,
    )
    dataset = input_fn(tf.distribute.InputContext()).take(count)
    return [(x.numpy(), y.numpy()) for x, y in dataset]


def test_set(config):
    data = data_manifest.read(config.data.dir)
    split = pipeline.splits(config.data.dir, data, config.data.validation_examples)
    input_fn = pipeline.evaluation(split["test"], global_batch_size=30)
    images, labels, _ = next(iter(input_fn(tf.distribute.InputContext())))
    return images.numpy(), labels.numpy()


test_set.__test__ = False


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Return (config, workdir, step): a run without chance, stopped on its way."""
    folder = tmp_path_factory.mktemp("interrupted")
    model = folder / "model.keras"
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    config = runs.small_config(
        folder,
        **{
            "num_epochs": 6,  # Of 5 steps.
            "model.name": str(model),
            "data.augment": "",
            "data.standardize": True,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
    with pytest.raises(interrupts.Interrupted):
        train_test.run(config, folder / "run", StopWhenSaved(folder / "run"))
    start = int(values(folder / "run")["step"])
    assert 5 <= start <= 30 - STEPS
    return config, folder / "run", start


def values(workdir, name="checkpoints"):
    """Return the variables of the newest checkpoint, by their place in the state."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    stored = runs.checkpoint_values(workdir, name)
    return {key.removesuffix(suffix): value for key, value in stored.items()}


@pytest.fixture(scope="module")
def finished(interrupted):
    """Return (config, workdir, folder): the run at its end, exported by the command."""
    config, start, _ = interrupted
    workdir, output = start.parent / "finished", start.parent / "exported"
    shutil.copytree(start, workdir)
    train_test.run(config, workdir)
    code, lines, stderr = runs.main(
        f"--workdir={workdir}",
        f"--output={output}",
        "--batch_size=30",
        module="sam_pod.export",
    )
    assert (code, stderr) == (0, "")
    assert lines[-1].endswith(f"Exported step 30 to {output}")
    return config, workdir, output


def assert_at(state, workdir, bound):
    """Compare weights and statistics with the newest checkpoint of a run."""
    expected = values(workdir)
    assert state["step"] == expected["step"]
    manifest = json.loads((workdir.parent / "out" / "manifest.json").read_text())
    inputs = manifest["programs"]["train_step"]["inputs"]
    for role in ("weights", "stats"):
        names = [tensor["name"] for tensor in inputs if tensor["role"] == role]
        assert names
        for i, name in enumerate(names):
            mine, trainers = state[name], expected[f"{role}/{i}"]
            np.testing.assert_allclose(mine, trainers, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("replicas", [1, 2])
def test_jax_goes_on_from_a_checkpoint_as_the_trainer_does(
    interrupted, tmp_path, replicas
):
    """To 1e-6: XLA and TensorFlow's kernels add in another order."""
    config, before, start = interrupted
    export.write(str(before), str(tmp_path / "out"), num_replicas=replicas)
    shutil.copytree(before, tmp_path / "run")
    strategy = fixtures.mirrored(2) if replicas == 2 else None
    train_test.run(config, tmp_path / "run", strategy=strategy)
    states = exported.train(tmp_path / "out", batches(config, start, 30 - start))
    assert_at(states[0], tmp_path / "run", bound=1e-6)
    for other in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    moved = np.abs(states[0]["dense/kernel"] - values(before)["weights/3"]).max()
    assert moved > 1e-2


def test_augmentation_and_dropout_are_those_of_the_step(tmp_path):
    """To 1e-6, against the step that TensorFlow compiles, with its own age of XLA.

    By SGD: Adam makes a step of the rounding errors of a bias before BatchNorm.
    """
    config = runs.small_config(tmp_path, num_epochs=1, **{"optimizer.name": "sgd"})
    train_test.run(config, tmp_path / "run")
    export.write(str(tmp_path / "run"), str(tmp_path / "out"))
    steps = batches(config, 5, STEPS)
    (state,) = exported.train(tmp_path / "out", steps)

    keras.utils.clear_session()
    data = data_manifest.read(config.data.dir)
    recipe = session.build_recipe(config, data, epoch_steps=5)
    compiled = tf.function(
        lambda before, x, y: step.replica_step(before, (x, y), recipe)[0],
        jit_compile=True,
    )
    program = exported.Program(tmp_path / "out", "train_step")
    after = tf.nest.pack_sequence_as(programs.initial_values(recipe), program.values())
    after = tf.nest.map_structure(tf.constant, after)
    for x, y in steps:
        after = compiled(after, x, y)
    for mine, expected in zip(state.values(), tf.nest.flatten(after), strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=0, atol=1e-6)


def keras_logits(folder, images):
    """Return the Keras file's logits, after what the manifest says comes before."""
    manifest = json.loads((folder / "manifest.json").read_text())
    rule = manifest["preprocessing"]["standardize"]
    pixels = images.astype(np.float32) / 255
    pixels = (pixels - np.float32(rule["mean"])) / np.float32(rule["std"])
    model = keras.models.load_model(folder / manifest["keras"]["file"])
    return model(pixels, training=False).numpy()


def saved_model_logits(folder, images):
    served = tf.saved_model.load(str(folder / "saved_model"))
    answers = served.signatures["serving_default"](images=tf.constant(images))
    logits = answers["logits"].numpy()
    np.testing.assert_allclose(
        answers["probabilities"].numpy(), tf.nn.softmax(logits).numpy(), atol=1e-6
    )
    # Any number of images.
    one = served.signatures["serving_default"](images=tf.constant(images[:1]))
    np.testing.assert_allclose(one["logits"].numpy(), logits[:1], atol=1e-5)
    return logits


@pytest.mark.parametrize(
    "logits_of", [exported.infer, saved_model_logits, keras_logits]
)
def test_each_form_of_the_model_answers_as_the_trainer_does(finished, logits_of):
    config, workdir, folder = finished
    images, labels = test_set(config)
    logits = logits_of(folder, images)
    data = data_manifest.read(config.data.dir)
    recipe = session.build_recipe(config, data, epoch_steps=5)
    stored = values(workdir)
    parts = [
        [stored[f"{role}/{i}"] for i in range(count)]
        for role, count in (
            ("weights", len(recipe.network.initial_weights())),
            ("stats", len(recipe.network.initial_stats())),
        )
    ]
    expected = recipe.network.apply(*parts, recipe.preprocess(images, None)).logits
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=2e-6)
    # And what the trainer reported of its test set.
    told = runs.result(workdir)
    right = logits.argmax(1) == labels
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -log_p[np.arange(30), labels].mean()
    assert right.mean() == pytest.approx(told["test_accuracy"])
    assert loss == pytest.approx(told["test_loss"], abs=1e-5)


def test_the_keras_file_is_a_model_to_train(finished):
    config, workdir, folder = finished
    network = models.build(str(folder / "model.keras"), (8, 8, 3), 4)
    stored = values(workdir)
    for i, value in enumerate(network.initial_weights().values()):
        np.testing.assert_array_equal(value, stored[f"weights/{i}"])
    for i, value in enumerate(network.initial_stats().values()):
        np.testing.assert_array_equal(value, stored[f"stats/{i}"])
    assert config.model.name != str(folder / "model.keras")


def test_the_manifest_tells_how_to_call_what_is_there(finished):
    config, _, folder = finished
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config_digest"] == config_lib.digest(config)
    assert manifest["classes"] == [f"class {i}" for i in range(4)]
    assert manifest["checkpoint"] == {
        "which": "latest",
        "name": "ckpt-30-6",
        "step": 30,
    }
    assert manifest["keras"]["custom_layers"] == ["sam_pod>FusedBatchNormalization"]
    assert manifest["versions"]["tensorflow"] == tf.__version__
    program = manifest["programs"]["train_step"]
    assert program["metrics"] == list(metrics.TRAIN)
    with np.load(folder / "values.npz") as stored:
        for tensor in program["inputs"]:
            if "value" in tensor:
                value = stored[tensor["value"]]
                assert list(value.shape) == tensor["shape"]
                assert value.dtype == tensor["dtype"]
    given = [t for t in program["inputs"] if "value" not in t]
    assert [(t["name"], t["shape"], t["dtype"]) for t in given] == [
        ("images", [16, 8, 8, 3], "uint8"),
        ("labels", [16], "int32"),
    ]
    assert len(program["donated"]) == len(program["inputs"]) - 2
    for pair in program["donated"]:
        before = program["inputs"][pair["input"]]
        after = program["outputs"][pair["output"]]
        assert {**after, "value": before["value"]} == before
    assert sorted(os.listdir(folder)) == sorted(
        [
            "inference.stablehlo",
            "manifest.json",
            "model.keras",
            "saved_model",
            "train_step.stablehlo",
            "values.npz",
        ]
    )


def test_the_programs_name_no_place_of_this_machine(finished):
    _, _, folder = finished
    content = (folder / "train_step.stablehlo").read_bytes()
    assert os.path.dirname(tf.__file__).encode() not in content
    assert b"site-packages" not in content


def test_the_best_checkpoint_starts_anew(interrupted, tmp_path):
    _, workdir, _ = interrupted
    export.write(str(workdir), str(tmp_path / "out"), which="best")
    best = values(workdir, "checkpoints/best")
    with np.load(tmp_path / "out" / "values.npz") as stored:
        assert stored["step"] == 0
        slots = [stored[key] for key in stored if key.startswith("slots/")]
        kernel = stored["weights/dense/kernel"]
    assert len(slots) == 10
    assert not any(slot.any() for slot in slots)
    np.testing.assert_array_equal(kernel, best["weights/3"])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["checkpoint"]["step"] == 5


def test_a_damaged_checkpoint_is_passed_over_and_left_where_it_is(finished, tmp_path):
    _, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "ckpt-30-6.index").write_bytes(b"")
    before = sorted(os.listdir(checkpoints))
    export.write(str(tmp_path / "run"), str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["checkpoint"]["name"] == "ckpt-25-5"
    assert sorted(os.listdir(checkpoints)) == before


def break_data(workdir):
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["dir"] = "/nowhere"
    (workdir / "config.json").write_text(json.dumps(config))


def break_inputs(workdir):
    (workdir / "inputs.json").write_text('{"data.dir": "", "model.name": ""}')


def break_config(workdir):
    (workdir / "config.json").write_text('{"sam": {"roh": 1.0}}')


def remove(name):
    return lambda workdir: shutil.rmtree(workdir / name)


@pytest.mark.parametrize(
    ("damage", "arguments", "message"),
    [
        (remove("."), {}, "holds no run, for it has no config.json"),
        (break_config, {}, "nearest is `sam.rho`"),
        (remove("checkpoints"), {}, "has no latest checkpoint yet: train"),
        (remove("checkpoints/best"), {"which": "best"}, "has no best checkpoint yet"),
        (break_data, {}, "No data set at '/nowhere': prepare one"),
        (break_inputs, {}, "another content of `data.dir`"),
        (None, {"data_dir": "/nowhere"}, "No data set at '/nowhere'"),
        (None, {"num_replicas": 3}, r"--replicas is 3; .* allow \[1, 2, 4, 8, 16\]"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    interrupted, tmp_path, damage, arguments, message
):
    workdir = tmp_path / "run"
    shutil.copytree(interrupted[1], workdir)
    if damage:
        damage(workdir)
    with pytest.raises(errors.UserError, match=message) as raised:
        export.write(str(workdir), str(tmp_path / "out"), **arguments)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("full", "already holds files; name a new folder"),
        ("full/file/out", "Cannot write .*Not a directory"),
        ("/proc/out", "Cannot write /proc/out"),
        ("gs://bucket/out", "must be a local folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_in_one_line(
    interrupted, tmp_path, monkeypatch, output, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(errors.UserError, match=message) as raised:
        export.write(str(interrupted[1]), output)
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == ["full"]
    assert os.listdir(tmp_path / "full") == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=x"], "--workdir is missing"),
        (["--workdir=x"], "--output is missing"),
        (["--workdir=x", "--output=y", "--which=first"], "--which=first"),
        (["--workdir=x", "--output=y", "--replicas=0"], "--replicas=0"),
        (["--workdir=x", "--output=y", "--batch_size=no"], "--batch_size=no"),
    ],
)
def test_bad_flags_are_refused_in_one_line(capsys, arguments, message):
    assert command.main(["export", *arguments]) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("Error: ") and stderr.count("\n") == 1
    assert message in stderr


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit):
        command.parse(["export", "--help"])
    text = capsys.readouterr().out
    for word in ("--workdir", "--replicas", "train_step.stablehlo", "42"):
        assert word in text


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("Lowering the training step", signal.SIGINT),
        ("Writing the SavedModel", signal.SIGTERM),
    ],
)
def test_a_signal_leaves_nothing(interrupted, tmp_path, line, number):
    process = runs.Process(
        f"--workdir={interrupted[1]}",
        f"--output={tmp_path / 'out'}",
        module="sam_pod.export",
    )
    assert process.read_until(line)
    process.send(number)
    assert process.wait() == 42
    assert process.stderr == "Interrupted: the same command starts it anew.\n"
    assert not list(pathlib.Path(tmp_path).iterdir())
