"""What all commands share: exit codes, the line of an error, signals, flags."""

import logging
import os
import signal
import subprocess
import sys

import pytest
from absl import flags
from absl import logging as absl_logging

import sam_pod
from sam_pod import errors
from sam_pod.process import command, signals
from tests import runs


def test_the_log_shows_our_lines_whatever_room_they_are_of(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(absl_logging, "set_verbosity", lambda level: None)
    command.log_to_stdout()
    (handler,) = logging.root.handlers
    folder = os.path.dirname(sam_pod.__file__)

    def is_shown(path):
        return bool(
            handler.filter(logging.LogRecord("absl", 20, path, 1, "x", None, None))
        )

    assert is_shown(os.path.join(folder, "run", "session.py"))
    assert is_shown(os.path.join(folder, "train.py"))
    assert not is_shown(os.path.join(os.path.dirname(logging.__file__), "x.py"))


def raises(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("action", "code", "stderr"),
    [
        (lambda: None, 0, ""),
        (raises(errors.UserError("no\nsuch file")), 1, "Error: no such file\n"),
        (raises(signals.Interrupted()), 42, ""),
    ],
)
def test_the_exit_code_says_how_it_ended(capsys, action, code, stderr):
    assert command.run(action) == code
    assert capsys.readouterr().err == stderr


@pytest.mark.parametrize("lines", [3, 100_000])  # At the end, and while it prints.
def test_a_reader_that_goes_is_no_bug(lines):
    code = (
        "import sys\nfrom sam_pod.process import command\n"
        f"sys.exit(command.run(lambda: print('a line\\n' * {lines})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=runs.ROOT,
    )
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (1, "")
    process.stderr.close()


def test_a_bug_shows_where_it_is(capsys):
    assert command.run(raises(KeyError("a bug"))) == 70
    assert "command_test.py" in capsys.readouterr().err


CODE = """
import os, signal, sys
from sam_pod.process import command

signal.signal(signal.{name}, signal.SIG_DFL)  # Our parent may ignore it.

def action(check):
    try:
        os.kill(os.getpid(), signal.{name})
        check()
    except KeyboardInterrupt:
        raise {error}

sys.exit(command.run_at_once(action))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("error", ["", "ValueError('of an extension')"])
def test_a_signal_ends_what_is_done_anew(name, error):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name, error=error)],
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 42
    assert done.stderr == "Interrupted: the same command starts it again.\n"


def test_an_error_before_any_signal_is_its_own(capsys):
    before = {n: signal.getsignal(n) for n in signals.stops()}
    hook = sys.unraisablehook
    try:
        assert command.run_at_once(lambda check: check()) == 0
        assert command.run_at_once(lambda check: os.stat("/nowhere")) == 70
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "FileNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        # `| head` has gone, or a terminal was closed: the log's reader, not the work.
        ("command.log_to_stdout(); [logging.info('x') for _ in range(3)]", 0),
        ("raise signals.Interrupted", 42),
    ],
)
def test_nobody_has_to_read_what_is_written(code, ending):
    program = f"""
import sys
from absl import logging
from sam_pod.process import command, signals
from sam_pod.storage import schemes as storage
def action():
    sys.stdin.read()
    {code}
command.leave(command.run(action))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=runs.ROOT,
    )
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == ""
    assert process.wait() == ending


def values():
    made = flags.FlagValues()
    flags.DEFINE_integer("size", 1, "A size.", lower_bound=1, flag_values=made)
    flags.DEFINE_float("rate", 1.0, "A rate.", flag_values=made)
    flags.DEFINE_bool("all", False, "Whether all.", flag_values=made)
    return made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--siz=1"], "Did you mean: size"),
        (["--size=0"], "size"),
        (["--size=x"], "^--size=x: it must be a whole number.$"),
        (["--rate=x"], "^--rate=x: it must be a number.$"),
        (["--all=x"], "^--all=x: it must be true or false.$"),
        (["--all="], "^--all=: it must be true or false.$"),
        (["--size"], "size"),
        (["extra"], "'extra' is not a flag"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        command.parse(values(), ["program", *arguments], "")
    assert "\n" not in str(raised.value)


def test_flags_are_set_and_help_is_shown(capsys):
    made = values()
    command.parse(made, ["program", "--size=3"], "")
    assert made.size == 3
    with pytest.raises(SystemExit) as raised:
        command.parse(values(), ["program", "--help"], "What it does.\n")
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert "What it does." in text and "--size" in text


class Gone(Exception):
    """What a launcher calls an interruption."""


@pytest.mark.parametrize(
    ("action", "code", "stderr"),
    [
        (lambda: 7, 7, ""),
        (lambda: "text", 0, ""),
        (raises(Gone("the slice\nis gone")), 42, "Error: the slice is gone\n"),
        (raises(Gone()), 42, "Error: interrupted; the same command continues\n"),
        (raises(flags.Error("no such flag")), 1, "Error: no such flag\n"),
        (
            raises(errors.UserError("https://me:secret@host/x")),
            1,
            "Error: https://[hidden]@host/x\n",
        ),
    ],
)
def test_a_launcher_ends_as_a_command_does(capfd, action, code, stderr):
    assert command.run(action, (Gone,)) == code
    assert capfd.readouterr().err == stderr


def test_a_bug_is_told_without_credentials(capfd):
    assert command.run(raises(ValueError("https://me:secret@host/x"))) == 70
    text = capfd.readouterr().err
    assert "Traceback" in text and "secret" not in text
