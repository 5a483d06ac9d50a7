"""Whole runs whose steps JAX executes: stopped, continued, and begun by TensorFlow."""

import glob
import os
import signal
import threading

import keras
import numpy as np
import pytest

from sam_pod import errors, train
from sam_pod.data.stored import manifest
from sam_pod.instruments import job, subject
from sam_pod.instruments.plan import Plan
from sam_pod.machines import runtime
from sam_pod.models import batch_norm
from tests import fixtures, runs
from tests.pjrt import needs_jax

pytestmark = needs_jax

REPLICAS = 2
PJRT = (
    "--config.runtime.strategy=pjrt",
    f"--config.runtime.cpu_replicas={REPLICAS}",
)


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Return a recipe without anything random in a step, on a smooth net."""
    folder = tmp_path_factory.mktemp("smooth")
    runs.save_model(folder / "small.keras", activation="swish", dropout=0)
    return runs.small_config(
        folder,
        **{
            "num_epochs": 6,
            "data.augment": "",
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 0.05,
            "schedule.name": "constant",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )


def by_jax():
    import jax

    from sam_pod.pjrt import connect

    jax.config.update("jax_enable_x64", True)
    return connect.of(jax.devices("cpu")[:REPLICAS])


def by_tensorflow():
    return runtime.of(fixtures.mirrored(REPLICAS))


def lasting(config, epochs):
    config = config.copy_and_resolve_references()
    config.num_epochs = epochs
    return config


def trained(config, workdir, connected, *accepted):
    return train.run(
        config, str(workdir), connected, threading.Event(), frozenset(accepted)
    )


def assert_close(a, b):
    first, second = runs.checkpoint_values(a), runs.checkpoint_values(b)
    assert first.keys() == second.keys()
    for key in first.keys() - {"progress/seconds/.ATTRIBUTES/VARIABLE_VALUE"}:
        np.testing.assert_allclose(
            first[key], second[key], atol=2e-6, rtol=2e-6, err_msg=key
        )


def test_a_run_crosses_to_jax_and_back_with_a_word_of_consent(smooth, tmp_path):
    whole = trained(smooth, tmp_path / "whole", by_tensorflow())
    half, workdir = lasting(smooth, 3), tmp_path / "crossing"
    trained(half, workdir, by_tensorflow())
    with pytest.raises(errors.UserError) as caught:
        trained(smooth, workdir, by_jax(), "num_epochs")
    line = str(caught.value)
    assert "the steps go from TensorFlow to JAX" in line
    assert "--accept_change=replicas" in line
    trained(lasting(smooth, 5), workdir, by_jax(), "num_epochs", "replicas")
    with pytest.raises(errors.UserError, match="go from JAX to TensorFlow"):
        trained(smooth, workdir, by_tensorflow(), "num_epochs")
    result = trained(smooth, workdir, by_tensorflow(), "num_epochs", "replicas")
    assert_close(workdir, tmp_path / "whole")
    assert result["test_accuracy"] == whole["test_accuracy"]
    assert [change["step"] for change in result["changes"]] == [15, 25]
    assert [change["from"].get("executed_by") for change in result["changes"]] == [
        None,
        "JAX",
    ]


def test_the_result_and_the_surroundings_name_the_version_of_jax(smooth, tmp_path):
    import jax

    result = trained(lasting(smooth, 1), tmp_path / "run", by_jax())
    assert result["versions"]["jax"] == jax.__version__
    assert result["executed_by"] == "JAX"
    assert (
        f'"jax": "{jax.__version__}"'
        in (tmp_path / "run/surroundings.json").read_text()
    )


def test_a_run_that_is_profiled_and_measured_takes_the_same_steps(smooth, tmp_path):
    """Its trace has the devices' operations, its sharpness is TensorFlow's."""
    import jax

    config = lasting(smooth, 1)
    trained(config, tmp_path / "alone", by_jax())
    config.profile_steps = 2
    config.sharpness.every_epochs = 1
    config.sharpness.examples, config.sharpness.iterations = 40, 4
    workdir = tmp_path / "run"
    trained(config, workdir, by_jax())
    runs.assert_equal_checkpoints(workdir, tmp_path / "alone")
    (path,) = glob.glob(f"{workdir}/plugins/profile/*/*.xplane.pb")
    traced = jax.profiler.ProfileData.from_file(path)
    names = [e.name for p in traced.planes for line in p.lines for e in line.events]
    # Each step's, on each device.
    assert sum(n.startswith("all-reduce") for n in names) >= 2 * 2 * REPLICAS
    plan = Plan(("eigenvalues",), examples=40, iterations=4, eigenvalues=4)
    point = job.measure(
        str(workdir),
        subject.read_config(str(workdir)),
        subject.points(str(workdir), ["last"]),
        plan,
        by_tensorflow(),
    )["points"]["last"]
    (found,) = runs.scalars(workdir)["sharpness/eigenvalue_1"][5]
    assert found == pytest.approx(point["eigenvalues"]["largest"][0], rel=1e-4)


def test_a_run_that_is_stopped_ends_with_42_and_continues_bit_for_bit(tmp_path):
    """With all that is random: crops, flips, brightness, dropout; Adam, a plateau.

    And max pooling, whose gradient TensorFlow does not lower for deterministic kernels.
    """
    images = keras.Input((8, 8, 3))
    x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(8, 3)(images))
    x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.Dropout(0.2)(keras.layers.ReLU()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(images, keras.layers.Dense(4)(x)).save(tmp_path / "small.keras")
    recipe = runs.write_recipe(
        tmp_path / "recipe.py", runs.small_config(tmp_path, num_epochs=8)
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    environment = {
        "XLA_FLAGS": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # What the first one compiles the others read.
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    arguments = (f"--config={recipe}", *PJRT)
    code, _, stderr = runs.main(
        *arguments, f"--workdir={whole}", environment=environment
    )
    assert code == 0, stderr
    arguments += (f"--workdir={stopped}",)
    process = runs.Process(*arguments, environment=environment)
    assert process.read_until("validation/loss"), process.stderr
    process.send(signal.SIGTERM)
    assert process.wait() == 42, process.stderr
    assert not (stopped / "result.json").exists()
    assert os.listdir(tmp_path / "cache")
    code, lines, stderr = runs.main(*arguments, environment=environment)
    assert code == 0, stderr
    assert any("Continuing after step" in line for line in lines)
    runs.assert_equal_checkpoints(whole, stopped)
    runs.assert_equal_checkpoints(whole, stopped, "checkpoints/best")
    runs.assert_equal_scalars(whole, stopped)
    runs.assert_equal_results(runs.result(whole), runs.result(stopped))


def test_no_device_is_one_line(tmp_path):
    recipe = runs.write_recipe(tmp_path / "recipe.py", runs.small_config(tmp_path))
    code, _, stderr = runs.main(
        f"--config={recipe}",
        "--config.runtime.strategy=pjrt",
        f"--workdir={tmp_path / 'run'}",
        environment={"JAX_PLATFORMS": "nothing"},
    )
    assert code == 1, stderr
    # TensorFlow 2.21 greets before: by absl, which has no level at the import.
    greeting, line = stderr.rsplit("Error: ", 1)
    assert "Traceback" not in greeting
    assert line.startswith("JAX finds no device") and line.count("\n") == 1
    assert "JAX_PLATFORMS is 'nothing'" in line


def test_a_workdir_that_nothing_here_serves_is_one_line():
    code, _, stderr = runs.main(
        "--config=configs/resnet20.py:digits", *PJRT, "--workdir=s3://bucket/run"
    )
    assert code == 1, stderr
    line = stderr.rpartition("Error: ")[2]
    assert line.startswith("--workdir is s3://bucket/run, and this environment has no")
    assert "take gs://" in line and line.count("\n") == 1


@pytest.mark.parametrize("scheme", ["s3", "az", "hdfs"])
def test_data_that_nothing_here_serves_are_refused(scheme):
    with pytest.raises(errors.UserError, match=f"serves {scheme}://: copy or mount"):
        manifest.read(f"{scheme}://one/two/three")
