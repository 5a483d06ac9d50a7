"""One of several processes that want one thing makes it, and the rest wait."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from sam_pod import errors
from sam_pod.process import signals
from sam_pod.storage import turns
from tests import runs


class Waiters:
    """Threads that want `path` while this one holds the turn; flock sees several.

    Each notes what it said, and how its turn ended: made here, made by another, or the
    error.
    """

    def __init__(self, path, count=3, what="it", **caller):
        self.ends, self.lines, self.made = [], [], []
        self._waiting = threading.Semaphore(0)
        self._what, self._caller = what, caller
        self._threads = [
            threading.Thread(target=self._want, args=(path,)) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _say(self, line):
        self.lines.append(line)
        self._waiting.release()

    def _want(self, path):
        try:
            caller = turns.Caller(say=self._say, **self._caller)
            with turns.turn(str(path), self._what, caller) as is_ours:
                if is_ours:
                    self.made.append(1)
                    path.write_text("made")
            self.ends.append("made" if is_ours else "waited")
        except Exception as error:
            self.ends.append(str(error))
        finally:
            self._waiting.release()

    def are_waiting(self):
        for _ in self._threads:
            self._waiting.acquire()

    def join(self):
        for thread in self._threads:
            thread.join()
        return sorted(self.ends)


def test_one_makes_it_and_the_rest_say_who_and_wait(tmp_path):
    path = tmp_path / "set"
    with turns.turn(str(path), "it", turns.Caller()) as is_ours:
        assert is_ours
        waiters = Waiters(path)
        waiters.are_waiting()
        path.write_text("made")
    assert waiters.join() == ["waited"] * 3
    line = f"Process {os.getpid()} on {os.uname().nodename} is making {path} since "
    assert all(said.startswith(line) for said in waiters.lines)
    assert len(waiters.lines) == 3
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_that_another_makes_meanwhile_lets_nobody_in(tmp_path, monkeypatch):
    path = tmp_path / "new" / "set"

    def opens(*arguments, **options):
        try:
            return open(*arguments, **options)
        except FileNotFoundError:
            path.parent.mkdir()  # The other is just in time.
            raise

    monkeypatch.setattr(turns, "open", opens, raising=False)
    with turns.turn(str(path), "it", turns.Caller()) as is_ours:
        assert is_ours
        waiters = Waiters(path)
        waiters.are_waiting()
        path.write_text("made")
    assert waiters.join() == ["waited"] * 3


def test_when_it_fails_the_rest_say_why(tmp_path):
    path = tmp_path / "set"
    with (
        pytest.raises(errors.UserError),
        turns.turn(str(path), "it", turns.Caller()),
    ):
        waiters = Waiters(path)
        waiters.are_waiting()
        raise errors.UserError("No network.")
    for end in waiters.join():
        assert end.endswith(f"which was making {path}, failed: No network.")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [signals.Interrupted, KeyboardInterrupt, ValueError])
def test_when_it_is_interrupted_the_next_goes_on(tmp_path, error):
    path = tmp_path / "set"
    with pytest.raises(error), turns.turn(str(path), "it", turns.Caller()):
        waiters = Waiters(path)
        waiters.are_waiting()
        raise error
    assert waiters.join() == ["made", "waited", "waited"]
    assert os.listdir(tmp_path) == ["set"]


HOLDS = """
import sys
from sam_pod.storage import turns
with turns.turn(sys.argv[1], "it", turns.Caller()):
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_when_it_dies_the_next_goes_on(tmp_path):
    path = tmp_path / "set"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=runs.ROOT,
    ) as holder:
        assert holder.stdout.readline() == b"holds\n"
        waiters = Waiters(path)
        waiters.are_waiting()
        assert all(f"Process {holder.pid} on" in line for line in waiters.lines)
        holder.send_signal(signal.SIGKILL)
        assert waiters.join() == ["made", "waited", "waited"]
    assert f"Process {holder.pid} on" in waiters.lines[3]
    assert "has ended before" in waiters.lines[3]
    assert os.listdir(tmp_path) == ["set"]


def test_what_is_made_otherwise_is_refused_or_taken_as_it_comes(tmp_path):
    path = tmp_path / "set"
    with turns.turn(str(path), "it", turns.Caller()):
        others = Waiters(path, what="something else")
        (end,) = set(others.join())
        assert f"Process {os.getpid()} on" in end
        assert end.endswith("with other options: wait for it, or name another folder.")
        takers = Waiters(path, what="something else", takes_any=True)
        takers.are_waiting()
    assert takers.join() == ["waited"] * 3


def test_who_waits_can_be_interrupted(tmp_path):
    def stop():
        raise signals.Interrupted

    with turns.turn(str(tmp_path / "set"), "it", turns.Caller()):
        with (
            pytest.raises(signals.Interrupted),
            turns.turn(
                str(tmp_path / "set"), "it", turns.Caller(raise_if_stopped=stop)
            ),
        ):
            pass
        with pytest.raises(signals.Interrupted):
            turns.wait(str(tmp_path / "set"), turns.Caller(raise_if_stopped=stop))
    turns.wait(str(tmp_path / "set"), turns.Caller(raise_if_stopped=stop))
    assert os.listdir(tmp_path) == []


def test_folders_above_are_made_and_go_with_what_failed(tmp_path):
    path = tmp_path / "a" / "b" / "set"
    with (
        contextlib.suppress(errors.UserError),
        turns.turn(str(path), "it", turns.Caller()),
    ):
        raise errors.UserError
    assert os.listdir(tmp_path) == []
    with turns.turn(str(path), "it", turns.Caller()):
        path.write_text("made")
    assert os.listdir(path.parent) == ["set"]
    # Where nothing can be written the maker says so itself.
    with turns.turn("/proc/nowhere/set", "it", turns.Caller()) as is_ours:
        assert is_ours
