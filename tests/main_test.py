"""The main command as its user runs it: real processes, real signals, real files."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import runs
from tests.process import notices_test

RECIPE = str(runs.ROOT / "configs" / "resnet20.py")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return (arguments, workdir) of a small run that was never interrupted."""
    folder = tmp_path_factory.mktemp("small")
    # A member whose memory and period must be what they were, too.
    member = {"sam.variant": "looksam", "sam.looksam.k": 3}
    config = runs.small_config(folder, num_epochs=12, **member)
    arguments = [
        f"--config={runs.write_recipe(folder / 'recipe.py', config)}",
        # A save after each loop, so that many a kill falls into one.
        "--config.checkpoint.every_seconds=1e-9",
        "--config.log_every_seconds=1e-9",
    ]
    code, lines, stderr = runs.main(*arguments, f"--workdir={folder / 'run'}")
    assert (code, stderr) == (0, "")
    assert lines[-1].endswith(f"tensorboard --logdir {folder / 'run'}")
    return arguments, folder / "run"


def continue_to_the_end(arguments, workdir, expected):
    code, lines, stderr = runs.main(*arguments, f"--workdir={workdir}")
    assert (code, stderr) == (0, "")
    runs.assert_equal_checkpoints(expected, workdir)
    runs.assert_equal_checkpoints(expected, workdir, "checkpoints/best")
    runs.assert_equal_scalars(expected, workdir)
    runs.assert_equal_points(expected, workdir)
    runs.assert_equal_results(runs.result(expected), runs.result(workdir))
    return lines


def kill_at_random(arguments, workdir, lines, within_save):
    """Kill after so many lines of the log; return whether there was a run to kill.

    If asked to, only when a save has begun: its metrics are on the disk by then.
    """
    process = runs.Process(*arguments, f"--workdir={workdir}")
    if process.read_until("Running on"):
        for _ in range(lines):
            process.read_until("step ")
        deadline = time.monotonic() + 5
        while within_save and time.monotonic() < deadline:
            if (workdir / "checkpoints" / "partial").exists():
                break
    return process.kill() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_anywhere_and_run_again_it_is_the_same_run(small, tmp_path):
    arguments, expected = small
    kills = 2
    chance = random.Random(kills)
    workdir = tmp_path / "run"
    killed = [
        kill_at_random(arguments, workdir, chance.randrange(1, 8), n % 2 == 0)
        for n in range(kills)
    ]
    assert all(killed)
    continue_to_the_end(arguments, workdir, expected)


def stopped(arguments, workdir, moment, *numbers):
    """Run to the moment, send signals, expect exit code 42, and return the lines."""
    process = runs.Process(*arguments, f"--workdir={workdir}")
    assert process.read_until(moment)
    for number in numbers:
        process.send(number)
    assert process.wait() == 42
    assert process.stderr == ""
    return process.lines


def noticed(arguments, workdir):
    """Run on a spot machine that is to go, expect exit code 42; return the lines."""
    server = notices_test.Server(notices_test.answers(preempted=["TRUE"]))
    process = runs.Process(
        *arguments,
        f"--workdir={workdir}",
        environment={"GCE_METADATA_HOST": server.host},
    )
    try:
        assert process.wait() == 42, process.stderr
    finally:
        server.close()
    return process.lines


# tests/process/signals_test.py sends every one that a scheduler or a terminal has.
@pytest.mark.slow
def test_signals_and_a_spot_machines_notice_save_and_exit_42(small, tmp_path):
    """One run is stopped by each in turn; two signals at once are one request."""
    arguments, expected = small
    workdir = tmp_path / "run"
    lines = stopped(arguments, workdir, "step 10", signal.SIGINT, signal.SIGTERM)
    assert any("saving and stopping after this loop" in line for line in lines)
    assert any("Saved." in line for line in lines)
    lines = noticed(arguments, workdir)
    assert any("Continuing after step" in line for line in lines)
    assert any("preempted is TRUE" in line for line in lines)
    assert not (workdir / "result.json").exists()
    lines = continue_to_the_end(arguments, workdir, expected)
    assert any("Continuing after step" in line for line in lines)


def test_the_finished_run_says_so(small):
    arguments, workdir = small
    before = sorted(os.listdir(workdir))
    code, lines, _ = runs.main(*arguments, f"--workdir={workdir}")
    assert code == 0
    assert any("finished already" in line for line in lines)
    assert sorted(os.listdir(workdir)) == before


def test_bad_input_in_one_line_with_nothing_written(small, tmp_path):
    arguments, workdir = small
    new = f"--workdir={tmp_path / 'new'}"
    assert "holds a run with another config (`seed` was 0, is 1)" in runs.user_error(
        *arguments, f"--workdir={workdir}", "--config.seed=1"
    )
    nowhere = runs.user_error(*arguments, new, "--config.data.dir=/nowhere")
    assert "No data set at '/nowhere'" in nowhere
    assert not (tmp_path / "new").exists()


def test_no_thread_is_older_than_the_signal_mask():
    """Such a thread, as NumPy's, would take a signal and die of it."""
    program = "import os, sam_pod.main; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=runs.ROOT
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.slow
def test_other_bad_input_in_one_line_with_nothing_written(small, tmp_path):
    arguments, _ = small
    new = f"--workdir={tmp_path / 'new'}"
    assert "divisible" in runs.user_error(
        *arguments, new, "--config.runtime.cpu_replicas=3"
    )
    assert not (tmp_path / "new").exists()
    file = tmp_path / "file"
    file.write_text("")
    assert "Not a directory" in runs.user_error(*arguments, f"--workdir={file}/run")


@pytest.mark.slow
def test_four_replicas_take_the_same_command(small, tmp_path):
    arguments, one_replica = small
    workdir = tmp_path / "run"
    code, lines, stderr = runs.main(
        *arguments,
        f"--workdir={workdir}",
        "--config.runtime.cpu_replicas=4",
        "--config.num_epochs=2",
    )
    assert (code, stderr) == (0, "")
    assert any("Running on 4 replica(s): MirroredStrategy" in x for x in lines)
    four, one = runs.scalars(workdir), runs.scalars(one_replica)
    # The first batch is the same one; BatchNorm and dropout are each replica's own.
    assert four["train/loss"][1][0] == pytest.approx(one["train/loss"][1][0], abs=0.2)
    assert runs.result(workdir)["test_examples"] == 30


@pytest.mark.slow
def test_damaged_data_name_the_file_and_the_offset(small, tmp_path):
    arguments, _ = small
    folder = runs.small_config(small[1].parent).data.dir
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    shard = sorted(data.glob("*train*"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    line = runs.user_error(
        *arguments, f"--workdir={tmp_path / 'new'}", f"--config.data.dir={data}"
    )
    assert shard.name in line
    assert "byte" in line or "offset" in line
    assert not (tmp_path / "new").exists()


@pytest.fixture
def small_disk(tmp_path):
    """Yield a file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["step ", "Compiled the step"])
def test_a_disk_that_fills_up_within_an_epoch_is_one_line(small, small_disk, text):
    arguments, _ = small
    process = runs.Process(
        *arguments,
        f"--workdir={small_disk / 'run'}",
        "--config.global_batch_size=1",  # Long epochs: 80 steps.
        "--config.checkpoint.every_seconds=1000",
        "--config.num_epochs=10000",
        "--config.early_stopping.patience=0",
    )
    assert process.read_until(text)
    fill(small_disk / "ballast")
    assert process.wait() == 1
    assert process.stderr.count("\n") == 1, process.stderr
    assert "No space left on device" in process.stderr


def fill(path):
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_checkpoint_stays(small, small_disk):
    arguments, expected = small
    workdir = small_disk / "run"
    process = runs.Process(*arguments, f"--workdir={workdir}")
    assert process.read_until("validation/loss")
    fill(small_disk / "ballast")
    assert process.wait() == 1
    assert process.stderr.count("\n") == 1, process.stderr
    assert "No space left on device" in process.stderr
    os.remove(small_disk / "ballast")
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    continue_to_the_end(arguments, workdir, expected)


@pytest.mark.slow
def test_an_unwritable_workdir_is_one_line(small, tmp_path):
    if os.geteuid() == 0:
        where = "/proc/sam_pod"  # Root may write everywhere else.
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        where = tmp_path / "closed" / "run"
    assert "Cannot write under" in runs.user_error(*small[0], f"--workdir={where}")


@pytest.mark.slow
def test_the_digits_command_reaches_its_accuracy(tmp_path):
    """The README's first command, but for its environment and most of its epochs."""
    code, lines, stderr = runs.main(
        f"--config={RECIPE}:digits", "--config.num_epochs=15", cwd=tmp_path
    )
    assert (code, stderr) == (0, "")
    assert "Workdir: runs/resnet20-digits-" in lines[0]
    (workdir,) = (tmp_path / "runs").iterdir()
    result = runs.result(workdir)
    assert result["test_examples"] == 450
    assert result["test_accuracy"] >= 0.92
    assert any(f"test/accuracy {result['test_accuracy']:.4f}" in x for x in lines)
    assert any("to go" in line for line in lines)
