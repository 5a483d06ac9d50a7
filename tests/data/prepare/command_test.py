"""The command `python -m sam_pod.data.prepare`, as processes."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

from sam_pod import errors
from sam_pod.data.prepare import job
from sam_pod.data.stored import manifest

REPOSITORY = pathlib.Path(__file__).parents[3]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def command(*arguments):
    return [sys.executable, "-m", "sam_pod.data.prepare", *map(str, arguments)]


def run(arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        arguments,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def assert_one_line(text):
    assert text.count("\n") == 1 and text.endswith("\n"), text


def test_importing_it_defines_no_flags_and_loads_no_tensorflow():
    code = """
import sys
from absl import flags
from sam_pod.data.prepare import job as prepare
assert "dataset" not in flags.FLAGS and "output" not in flags.FLAGS
assert "tensorflow" not in sys.modules
"""
    assert run([sys.executable, "-c", code]).returncode == 0


def test_help_explains_the_command():
    done = run(command("--help"))
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--dataset", "--source", "--output", "--num_shards", "Exit codes"):
        assert word in done.stdout


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--datset=digits"], "Did you mean: dataset"),
        (["--dataset=digits"], "--output is missing"),
        (["--output=x"], "--dataset is missing"),
        (["--dataset=digits", "--output=x", "y"], "'y' is not a flag"),
        (["--dataset=digits", "--output=x", "--num_shards=-1"], "num_shards"),
        (["--dataset=digits", "--output=x", "--num_shards=two"], "num_shards"),
        (
            ["--dataset=digits", "--output=x", "--noise_seed=3"],
            "--noise_seed is 3, and nothing reads it: --label_noise is 0.0",
        ),
        (
            ["--dataset=digits", "--output=x", "--image_shape=8x8x1"],
            "nothing reads it: --dataset is 'digits'",
        ),
        (["--dataset=digit", "--output=x"], "Did you mean 'digits'"),
        (["--flagfile=/nowhere/flags"], "nowhere"),
    ],
)
def test_a_wrong_command_line_gets_one_line(arguments, reason):
    done = run(command(*arguments))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(reason, done.stderr)
    assert_one_line(done.stderr)


@pytest.mark.slow
def test_the_command_shows_a_bar_and_sums_up(tmp_path):
    terminal, child_side = pty.openpty()
    size = struct.pack("HHHH", 24, 80, 0, 0)
    fcntl.ioctl(child_side, termios.TIOCSWINSZ, size)
    with contextlib.closing(os.fdopen(terminal, "rb", 0)) as screen:
        with subprocess.Popen(
            command("--dataset=digits", f"--output={tmp_path / 'set'}"),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=child_side,
            text=True,
        ) as child:
            os.close(child_side)
            shown = b""
            with contextlib.suppress(OSError):  # A terminal's end.
                while part := screen.read(1024):
                    shown += part
            output = child.stdout.read()
        assert child.returncode == 0, shown
    assert re.search(rb"1797/1797 .* images/s", shown)
    assert re.fullmatch(
        rf"{tmp_path}/set: 1,347 train \+ 450 test examples of 8x8x1 in 10 classes, "
        r"8\+8 shards, 0\.2 MB in \d+\.\d s\n",
        output,
    )


def test_a_bad_image_gets_one_line(tmp_path):
    tree = tmp_path / "tree"
    for split in ("train", "test"):
        (tree / split / "ant").mkdir(parents=True)
        (tree / split / "ant" / "1.png").write_bytes(b"this is no image")
    done = run(
        command("--dataset=images", f"--source={tree}", f"--output={tmp_path}/set")
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"Error: 2 of 2 images in {tree} cannot be used: train/ant/1.png, "
        "test/ant/1.png: each is a text"
    )
    assert_one_line(done.stderr)
    assert os.listdir(tmp_path) == ["tree"]


# The command itself, but 500 digits are followed by a wait.
STALLED = """
import dataclasses, sys
from sam_pod.data.sources import digits; from sam_pod.data.prepare import job as prepare

read = digits.read

def stalled():
    source = read()
    train = source.splits["train"]

    def some(start, stop):
        for index, item in enumerate(train.read(start, stop), start):
            if index == 500:
                print("stalled", flush=True)
                sys.stdin.read()
            yield item

    splits = {**source.splits, "train": dataclasses.replace(train, read=some)}
    return dataclasses.replace(source, splits=splits)

digits.read = stalled
sys.exit(prepare.main(sys.argv))
"""


@pytest.mark.slow
def test_signals_interrupt_it_and_it_continues(tmp_path):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    job.prepare("digits", "", str(tmp_path / "undisturbed"))
    with contextlib.ExitStack() as stack:
        children = {
            number: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", STALLED, "--dataset=digits"]
                    + [f"--output={tmp_path / number.name}", "--num_processes=1"],
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number in numbers
        }
        for number, child in children.items():
            assert child.stdout.readline() == "stalled\n"
            partial = tmp_path / f"{number.name}.partial"
            assert "train-00001-of-00008.tfrecord" in os.listdir(partial)
            child.send_signal(number)
        problems = {n: child.communicate()[1] for n, child in children.items()}
    for number in (signal.SIGINT, signal.SIGTERM):
        assert children[number].returncode == 42
        assert problems[number].startswith("Interrupted: the same command continues")
        assert_one_line(problems[number])
    assert children[signal.SIGKILL].returncode == -signal.SIGKILL
    for number in numbers:
        partial = tmp_path / f"{number.name}.partial"
        for name in (number.name, partial.name):
            with pytest.raises(errors.UserError, match="prepare one"):
                manifest.read(tmp_path / name)
        assert not (tmp_path / number.name).exists()
        first = partial / "train-00000-of-00008.tfrecord"
        written = os.stat(first)
        job.prepare("digits", "", str(tmp_path / number.name))
        assert not partial.exists()
        now = os.stat(tmp_path / number.name / first.name)
        assert now.st_mtime_ns == written.st_mtime_ns  # Not written twice.
        assert contents(tmp_path / number.name) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_of_two_that_write_one_set_the_second_waits_for_the_first(tmp_path):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    output = tmp_path / "new" / "set"
    wish = ["--dataset=digits", f"--output={output}", "--num_processes=1"]
    stalled = [sys.executable, "-c", STALLED, *wish]
    with (
        subprocess.Popen(stalled, cwd=REPOSITORY, text=True, **pipes) as first,
        subprocess.Popen(
            [sys.executable, "-c", f"input()\n{STALLED}", *wish],
            cwd=REPOSITORY,
            text=True,
            **pipes,
        ) as second,
    ):
        assert first.stdout.readline() == "stalled\n"
        second.stdin.write("now\n")
        second.stdin.flush()
        told = second.stderr.readline()
        assert told.startswith(f"Process {first.pid} on ") and "waiting" in told
        done = run([*command(*wish), "--label_noise=0.5"])
        assert (done.returncode, done.stdout) == (1, "")
        assert f"Process {first.pid} on" in done.stderr and "other" in done.stderr
        assert_one_line(done.stderr)
        assert first.communicate()[1] == ""
        stdout, stderr = second.communicate()
        assert (stdout, stderr) == (f"{output} was prepared by that process.\n", "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert manifest.read(output).name == "digits"
    assert os.listdir(output.parent) == ["set"]


def test_an_interrupt_that_python_drops_is_raised_again():
    code = """
import gc, os, signal
from sam_pod.process import signals as interrupts

def callback(phase, details):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGTERM)

interruption = interrupts.Interruption()
interruption.raise_if_stopped()
gc.callbacks.append(callback)
gc.collect()
print("dropped")
try:
    interruption.raise_if_stopped()
except KeyboardInterrupt:
    print("raised again")
"""
    done = run([sys.executable, "-c", code])
    assert done.stdout == "dropped\nraised again\n"
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_bug_gets_a_traceback_and_70(tmp_path):
    code = """
import sys
from sam_pod.data.prepare import job as prepare
def broken(*arguments, **more):
    raise KeyError("a bug")
prepare.prepare_with = broken
sys.exit(prepare.main(sys.argv))
"""
    output = f"--output={tmp_path / 'x'}"
    done = run([sys.executable, "-c", code, "--dataset=digits", output])
    assert done.returncode == 70
    assert "Traceback" in done.stderr and "a bug" in done.stderr
