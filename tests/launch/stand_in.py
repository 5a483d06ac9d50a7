"""Slices of the stand-in for gcloud, and launchers that use it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
READY = [
    ["WAITING_FOR_RESOURCES", None],
    ["PROVISIONING", "CREATING"],
    ["ACTIVE", "READY"],
]
SLICE = ["--accelerator_type=v4-16", "--pause_seconds=0", "--nopreflight"]
TRAIN = [
    "--",
    "--config=configs/resnet20.py:sgd",
    "--config.data.dir=gs://bucket/cifar10",
    "--workdir=gs://bucket/run",
]
DIRECT = [[None, "CREATING"], [None, "READY"]]
PREEMPTED = ["SUSPENDED", "PREEMPTED"]

GCLOUD = f"""#!{sys.executable} -IS
import sys
sys.path.insert(0, {str(ROOT / "tests/launch")!r})
import gcloud_stand_in
sys.exit(gcloud_stand_in.main())
"""
# Plays the trainer: prints its arguments and environment, then does what `acts` in the
# home of the slices says, or `acts-1` for worker 1 where that is there: one line for
# each start, which is an exit code, `wait`, `kill` or `abort`.
TRAINER = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
acts = pathlib.Path({acts!r})
own = acts.with_name("acts-" + pathlib.Path(os.environ["HOME"]).name)
acts = own if own.exists() else acts
lines = acts.read_text().splitlines()
acts.write_text("\\n".join(lines[1:] or lines) + "\\n")
print(json.dumps([sys.argv[1:], os.environ.get("TPU_LOAD_LIBRARY")]), flush=True)
for number in range(4):
    print("step", number, flush=True)
    time.sleep(0.01)
if lines[0] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
    print("waiting", flush=True)
    while True:
        time.sleep(60)
if lines[0] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if lines[0] == "abort":
    os.abort()
sys.exit(int(lines[0]))
"""


@dataclasses.dataclass
class Life:
    """How one slice goes: its states look by look, and its log's connections."""

    states: list = dataclasses.field(default_factory=lambda: list(READY))
    connections: list = dataclasses.field(default_factory=list)
    hosts: int = 2
    health: str = "HEALTHY"
    failure: str = ""


class Cloud:
    """A folder in which the stand-in plays, and the commands run against it."""

    def __init__(self, folder, *lives, acts=("0",), errors=None, interrupt=None):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin/gcloud").write_text(GCLOUD)
        (folder / "bin/gcloud").chmod(0o755)
        for name in ("sudo", "systemctl", "lsof"):
            self.tool(name, f'echo {name} "$@" >>{folder}/tools; exit 1')
        (folder / "acts").write_text("".join(f"{act}\n" for act in acts))
        trainer = folder / "trainer"
        trainer.write_text(TRAINER.format(acts=str(folder / "acts")))
        trainer.chmod(0o755)
        self.script = {
            "project": "my-project",
            "lives": [dataclasses.asdict(life) for life in lives or [Life()]],
            "errors": errors or {},
            "interrupt": interrupt,
            "trainer": str(trainer),
            "installed": installed("2.16.1"),
            "path": f"{folder}/bin:/usr/bin:/bin",
        }
        self.write_script()

    def write_script(self):
        (self.folder / "script.json").write_text(json.dumps(self.script))

    def act(self, worker, *acts):
        """Give a worker acts of its own."""
        text = "".join(f"{act}\n" for act in acts)
        (self.folder / f"acts-{worker}").write_text(text)

    def tool(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    @property
    def environment(self):
        return {
            **os.environ,
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "GCLOUD_STAND_IN": str(self.folder),
            "TMPDIR": str(self.folder),  # The launchers' claims on slices.
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *words, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "launch.tpu", *words],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def launch(self, command, *words):
        """Run the launcher to its end; return its exit code, stdout and stderr."""
        place = ["--name=pod", "--zone=us-central2-b", "--poll_seconds=0.01"]
        process = self.start(command, *place, *words)
        try:
            stdout, stderr = process.communicate(timeout=600)
        finally:
            process.kill()
        return process.returncode, stdout, stderr

    def end(self):
        """Kill the trainers that go on without a launcher."""
        for pid in self.folder.glob("hosts/*/*/sam_pod/run/pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(pid.read_text())["pid"], signal.SIGKILL)

    @property
    def calls(self):
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def verbs(self, *kinds):
        """Return 'create', 'delete' and such of the calls, in order."""
        found = [w for call in self.calls for w in call if w in kinds]
        return found

    @property
    def state(self):
        return json.loads((self.folder / "state.json").read_text())

    @property
    def violations(self):
        path = self.folder / "violations"
        return path.read_text() if path.exists() else ""


def installed(*arguments):
    """Return what install.sh leaves as a mark when it is done."""
    files = [ROOT / "requirements.lock", ROOT / "launch/remote/tensorflow-tpu.lock"]
    if arguments == ("pjrt",):
        files = [ROOT / "requirements-pjrt.lock", ROOT / "sam_pod/pjrt/libtpu.lock"]
    content = b"".join(file.read_bytes() for file in files)
    mark = subprocess.run(["cksum"], input=content, capture_output=True, check=True)
    return f"{mark.stdout.decode().strip()} {' '.join(arguments)}\n"


def clouds(folder):
    """Yield what makes a cloud in a folder; in the end there never were two slices."""
    made = []

    def make(*lives, **options):
        made.append(Cloud(folder, *lives, **options))
        return made[0]

    yield make
    for cloud in made:
        cloud.end()
        assert cloud.violations == ""
