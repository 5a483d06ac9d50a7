"""A process that takes a training step for each line that it is sent."""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent.parent


class Contender:
    """One side of a bench of steps, and the seconds that its steps took.

    Args:
        name: In the tables.
        command: The interpreter, the module, and its arguments.
        environment: Variables beside this process' own.
    """

    def __init__(self, name, command, environment=()):
        self.name = name
        self.wall, self.cpu = [], []
        python, module, *arguments = command
        self._process = subprocess.Popen(
            [python, "-m", f"tests.bench.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **dict(environment)},
        )

    def step(self, count=True):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped; run its module by hand to see why.")
        wall, cpu = json.loads(line)
        if count:
            self.wall.append(wall)
            self.cpu.append(cpu)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def answer(step):
    """Take a step for each line of stdin, and tell its seconds: wall and CPU."""
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps(times), flush=True)


def has_torch(python):
    """Return whether this interpreter has PyTorch."""
    run = subprocess.run(
        [python, "-c", "import torch"], capture_output=True, check=False
    )
    return run.returncode == 0


def take_turns(contenders, rounds, unmeasured=2):
    """Let each take a step in turn; the first rounds compile and warm up."""
    for round_number in range(rounds + unmeasured):
        for contender in contenders:
            contender.step(count=round_number >= unmeasured)
