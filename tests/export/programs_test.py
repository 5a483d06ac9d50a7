"""The exported step goes on in JAX as the trainer does.

tests/export/elsewhere.py is the other runtime, without this package.
"""

import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.input.batches import Batch
from sam_pod.data.stored import manifest as data_manifest
from sam_pod.export import folder as export
from sam_pod.lowering import programs
from sam_pod.run import build, taken
from sam_pod.step import algorithm, metrics
from tests import fixtures, runs, training
from tests.export import elsewhere, trained

STEPS = 20


def assert_at(state, workdir, bound):
    """Compare weights and statistics with the newest checkpoint of a run."""
    expected = trained.values(workdir)
    assert state["step"] == expected["step"]
    manifest = json.loads((workdir.parent / "out" / "manifest.json").read_text())
    inputs = manifest["programs"]["train_step"]["inputs"]
    for role in ("weights", "stats"):
        names = [tensor["name"] for tensor in inputs if tensor["role"] == role]
        assert names
        for i, name in enumerate(names):
            mine, trainers = state[name], expected[f"{role}/{i}"]
            np.testing.assert_allclose(mine, trainers, rtol=0, atol=bound, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_jax_goes_on_from_a_checkpoint_as_the_trainer_does(
    interrupted, tmp_path, replicas
):
    """To 1e-6: XLA and TensorFlow's kernels add in another order."""
    config, before, start = interrupted
    export.write(str(before), str(tmp_path / "out"), num_replicas=replicas)
    shutil.copytree(before, tmp_path / "run")
    strategy = fixtures.mirrored(2) if replicas == 2 else None
    accepted = {"replicas"}  # It has BatchNorm, whose batch is a replica's.
    training.run(config, tmp_path / "run", strategy=strategy, accepted=accepted)
    states = elsewhere.train(
        tmp_path / "out", trained.batches(config, start, 30 - start)
    )
    assert_at(states[0], tmp_path / "run", bound=1e-6)
    for other in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    kernel = states[0][trained.dense_kernel(states[0])]
    assert np.abs(kernel - trained.values(before)["weights/3"]).max() > 1e-2


@pytest.mark.slow
def test_augmentation_and_dropout_are_those_of_the_step(tmp_path):
    """To 1e-6, against the step that TensorFlow compiles, with its own age of XLA.

    By SGD: Adam makes a step of the rounding errors of a bias before BatchNorm.
    """
    config = runs.small_config(tmp_path, num_epochs=1, **{"optimizer.name": "sgd"})
    training.run(config, tmp_path / "run")
    export.write(str(tmp_path / "run"), str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told["preprocessing"]["augment"] == "crop,flip,brightness"
    steps = trained.batches(config, 5, STEPS)
    (state,) = elsewhere.train(tmp_path / "out", steps)

    keras.utils.clear_session()
    data = data_manifest.read(config.data.dir)
    recipe = build.build_recipe(config, data, epoch_steps=5)
    compiled = tf.function(
        lambda before, x, y: algorithm.replica_step(before, Batch(x, y), recipe)[0],
        jit_compile=True,
    )
    program = elsewhere.Program(tmp_path / "out", "train_step")
    after = tf.nest.pack_sequence_as(programs.initial_values(recipe), program.values())
    after = tf.nest.map_structure(tf.constant, after)
    for x, y in steps:
        after = compiled(after, x, y)
    for mine, expected in zip(state.values(), tf.nest.flatten(after), strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_manifest_tells_how_to_call_what_is_there(finished):
    config, _, folder = finished
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config_digest"] == config_lib.digest(config)
    with pytest.raises(errors.UserError, match="holds an exported run"):
        taken.check(str(folder), config.data.dir)
    assert manifest["classes"] == [f"class {i}" for i in range(4)]
    assert manifest["checkpoint"] == {
        "which": "latest",
        "name": "ckpt-30-6",
        "step": 30,
        "averaged": False,
    }
    assert manifest["keras"]["custom_layers"] == []
    assert manifest["keras"]["import_first"] == ""
    assert manifest["not_made"] == {}
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
