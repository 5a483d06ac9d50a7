"""The script that starts trainers on a host, as bash starts it there."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
SECONDS = 30
# Prints its arguments, waits for a byte in a pipe or a signal, ends as asked.
TRAINER = """
import json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print(json.dumps(sys.argv[2:]), os.getsid(0) == os.getppid(), flush=True)
with open(sys.argv[1]) as gate:
    sys.exit(int(gate.read()))
"""


class Host:
    """A home with the script in its place, and a gate that a trainer waits at."""

    def __init__(self, home):
        self.home = home
        script = home / "sam_pod/launch/remote/coordinator.py"
        script.parent.mkdir(parents=True)
        shutil.copy(ROOT / "launch/remote/coordinator.py", script)
        self.gate = home / "gate"
        os.mkfifo(self.gate)
        (home / "trainer.py").write_text(TRAINER)

    def command(self, *arguments):
        return [sys.executable, f"{self.home}/trainer.py", str(self.gate), *arguments]

    def popen(self, *words):
        line = shlex.join(["python3", "sam_pod/launch/remote/coordinator.py", *words])
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ask(self, *words):
        """Return the exit code and the answers."""
        stdout, stderr = self.popen(*words).communicate(timeout=SECONDS)
        assert stderr == b""
        return [json.loads(line) for line in stdout.splitlines()]

    def start(self, token, *arguments):
        return self.ask("start", f"--token={token}", "--", *self.command(*arguments))

    def end(self, code):
        self.gate.write_text(str(code))

    def follow(self, at=0):
        """Return the text from a byte on, and the last word on the run."""
        *frames, last = self.ask("follow", f"--at={at}")
        return "".join(frame["text"] for frame in frames), last

    @property
    def supervisor(self):
        pid = json.loads((self.home / "sam_pod/run/pid").read_text())["pid"]
        return psutil.Process(pid)

    def wait_until(self, state):
        deadline = time.monotonic() + SECONDS
        while self.ask("status")[0]["state"] != state:
            assert time.monotonic() < deadline


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    if (tmp_path / "sam_pod/run/pid").exists():
        try:
            supervisor = host.supervisor
            children = supervisor.children()
            supervisor.kill()
        except psutil.NoSuchProcess:
            return
        gone, alive = psutil.wait_procs([supervisor, *children], SECONDS)
        assert gone and not alive  # The trainer dies with who watches it.


def test_a_run_from_its_start_to_its_exit_code(host):
    assert host.ask("status") == [{"state": "none"}]
    assert host.start("a") == [{"started": "a"}]
    state = host.ask("status")[0]
    assert (state["state"], state["token"]) == ("running", "a")
    assert state["command"] == host.command()
    host.end(7)
    text, last = host.follow()
    assert text == "[] True\n"  # In a session of its own.
    assert (last["state"], last["code"]) == ("ended", 7)
    assert host.ask("status")[0] == last


def test_a_trainer_that_is_killed_leaves_room_for_another(host):
    host.start("a")
    assert host.ask("kill")[0]["state"] == "running"
    host.wait_until("vanished")
    assert host.start("b") == [{"started": "b"}]
    host.end(0)
    host.wait_until("ended")
    assert host.ask("kill")[0]["state"] == "ended"


def test_arguments_arrive_intact_and_execute_nothing(host):
    nasty = [
        "a b",
        "c'd",
        '"',
        f"$(touch {host.home}/pwned)",
        "`id`",
        "\n",
        "",
        "é;&|*",
    ]
    host.start("a", *nasty)
    host.end(0)
    text, _ = host.follow()
    assert json.loads(text.partition("]")[0] + "]") == nasty
    assert not (host.home / "pwned").exists()


def test_a_start_that_comes_twice_starts_once(host):
    host.start("a", "first")
    pid = host.supervisor.pid
    assert host.start("a", "first") == [{"started": "a"}]
    assert host.supervisor.pid == pid
    host.end(0)
    host.follow()
    # Nor does it start again what has ended meanwhile.
    assert host.start("a", "first") == [{"started": "a"}]
    assert host.ask("status")[0]["state"] == "ended"


def test_a_second_run_is_refused_while_the_first_lives(host):
    host.start("a", "first")
    process = host.popen("start", "--token=b", "--", *host.command("second"))
    stdout, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 3
    assert json.loads(stdout) == {"busy": host.command("first")}
    host.end(0)
    host.follow()
    assert host.start("b", "second") == [{"started": "b"}]
    host.end(0)
    assert host.follow()[0] == '["second"] True\n'
    assert (host.home / "sam_pod/run/log.previous").read_text() == '["first"] True\n'


def test_looking_does_not_keep_a_run_from_starting(host):
    lookers = [host.popen("status") for _ in range(6)]
    assert host.start("a") == [{"started": "a"}]
    for looker in lookers:
        looker.communicate(timeout=SECONDS)
        assert looker.returncode == 0
    # Nor do those who look take each other for a run.
    host.end(0)
    host.follow()
    lookers = [host.popen("status") for _ in range(6)]
    for looker in lookers:
        stdout, _ = looker.communicate(timeout=SECONDS)
        assert json.loads(stdout)["state"] == "ended"


@pytest.mark.parametrize("through", ["stop", "SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_request_to_stop_reaches_the_trainer(host, through):
    host.start("a")
    follower = host.popen("follow", "--at=0")
    follower.stdout.readline()  # The trainer is ready for signals.
    if through == "stop":
        assert host.ask("stop")[0]["state"] == "running"
        expected = 42
    elif through in ("SIGTERM", "SIGUSR1"):
        host.supervisor.send_signal(signal.Signals[through])
        expected = 42
    else:
        host.supervisor.send_signal(signal.SIGINT)
        expected = 1  # Python's own end by KeyboardInterrupt becomes the signal.
    stdout, _ = follower.communicate(timeout=SECONDS)
    code = json.loads(stdout.splitlines()[-1])["code"]
    assert code == (expected if through != "SIGINT" else -signal.SIGINT)


def test_stopping_nothing_says_so(host):
    process = host.popen("stop")
    stdout, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, json.loads(stdout)) == (4, {"state": "none"})


def test_the_end_of_the_connection_is_not_the_end_of_the_run(host):
    start = host.popen("start", "--token=a", "--", *host.command())
    start.communicate(timeout=SECONDS)  # Its pipes are closed: nobody holds them.
    follower = host.popen("follow", "--at=0")
    follower.stdout.readline()
    follower.kill()
    follower.wait()
    host.supervisor.send_signal(signal.SIGHUP)
    assert host.ask("status")[0]["state"] == "running"
    host.end(5)
    assert host.follow()[1]["code"] == 5
    follower.stdout.close()
    follower.stderr.close()


def test_the_log_goes_on_from_any_byte(host):
    host.start("a", "é" * 10)
    host.end(0)
    whole, _ = host.follow()
    data = whole.encode()
    for at in (0, 1, 3, len(data) - 1, len(data), len(data) + 9):
        *frames, _ = host.ask("follow", f"--at={at}")
        parts = [frame["text"].encode(errors="surrogateescape") for frame in frames]
        assert b"".join(parts) == data[at:]


def test_a_trainer_that_is_killed(host):
    host.start("a")
    [trainer] = host.supervisor.children()
    trainer.kill()
    assert host.follow()[1]["code"] == -signal.SIGKILL


def test_a_host_on_which_all_was_killed(host):
    host.start("a")
    [trainer] = host.supervisor.children()
    host.supervisor.kill()
    psutil.wait_procs([trainer], SECONDS)
    host.wait_until("vanished")
    assert host.follow()[1]["state"] == "vanished"
    assert host.start("b") == [{"started": "b"}]
    host.end(0)
    assert host.follow()[1]["code"] == 0


def test_a_command_that_is_not_there(host):
    host.ask("start", "--token=a", "--", "/does/not/exist")
    text, last = host.follow()
    assert last["code"] == 127
    assert "No such file" in text


@pytest.mark.parametrize(
    "words", [[], ["start"], ["start", "--token=a", "x"], ["follow"]]
)
def test_a_wrong_call_shows_the_right_ones(host, words):
    process = host.popen(*words)
    _, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert b"python3 coordinator.py start --token=T -- COMMAND" in stderr
