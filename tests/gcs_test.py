"""Runs and data in a bucket, through TensorFlow's own client for gs://."""

import pathlib
import shutil
import signal

import pytest

from tests import gcs_stand_in, runs

if not shutil.which("openssl"):
    pytest.skip("no openssl to make a certificate with", allow_module_level=True)


@pytest.fixture
def storage(tmp_path, monkeypatch):
    storage = gcs_stand_in.Storage(buckets={"bucket"})
    with gcs_stand_in.serve(tmp_path, storage) as environment:
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        yield storage


@pytest.fixture
def arguments(storage, tmp_path):
    """Return those of a small run on data in the bucket."""
    config = runs.small_config(tmp_path, num_epochs=2)
    for path in pathlib.Path(config.data.dir).iterdir():
        storage.objects["bucket", f"data/{path.name}"] = path.read_bytes()
    config.data.dir = "gs://bucket/data"
    recipe = runs.write_recipe(tmp_path / "recipe.py", config)
    return [f"--config={recipe}"]


def in_run(storage):
    names = (name for _, name in storage.objects if name.startswith("run/"))
    return sorted(name.removeprefix("run/") for name in names)


@pytest.mark.slow
def test_a_run_in_a_bucket_stops_continues_ends_and_another_begins_with_it(
    storage, arguments, tmp_path
):
    arguments.append("--workdir=gs://bucket/run")
    process = runs.Process(*arguments)
    assert process.read_until("step 5")
    process.send(signal.SIGTERM)
    assert process.wait() == 42, process.stderr
    left = in_run(storage)
    assert "config.json" in left
    assert not any("partial" in name for name in left)
    code, lines, stderr = runs.main(*arguments)
    assert (code, stderr) == (0, "")
    assert any("Continuing after step" in line for line in lines)
    left = in_run(storage)
    assert "result.json" in left
    kept = [name for name in left if name.startswith("checkpoints/ckpt-")]
    assert len(kept) == 4
    assert "checkpoints/ckpt-10-2.index" in kept
    assert not any("partial" in name or "_temp" in name for name in left)
    assert any(name.startswith("events.out") for name in left)
    code, lines, _ = runs.main(*arguments)
    assert code == 0
    assert any("finished already" in line for line in lines)
    recipe, _ = arguments
    code, lines, stderr = runs.main(
        *(recipe, f"--workdir={tmp_path / 'next'}", "--config.num_epochs=1"),
        "--config.model.initial_weights=gs://bucket/run",
    )
    assert (code, stderr) == (0, "")
    assert any("gs://bucket/run" in line and "taken" in line for line in lines), lines


@pytest.mark.slow
def test_what_the_user_has_got_wrong_is_one_line(storage, arguments):
    line = runs.user_error(*arguments, "--workdir=gs://buckett/run")
    assert "Cannot use gs://buckett/run" in line
    assert "The bucket does not exist" in line
    storage.forbidden = {"POST"}
    line = runs.user_error(*arguments, "--workdir=gs://bucket/run")
    assert "Cannot use gs://bucket/run" in line
    assert "roles/storage.objectAdmin" in line
    assert not in_run(storage)
