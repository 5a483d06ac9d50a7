"""Compare input pipelines: ours, one example at a time, PyTorch's and grain's.

python -m tests.bench.input [--torch_python=PYTHON] [--grain_python=PYTHON]
    [--kinds=small,large] [--rounds=7] [--images=2000]

Each delivers uint8 batches of the same images after the same work: 50,000 of 32x32,
shuffled, cropped after padding, mirrored; or JPEGs of 500x375, of each of which a
random part is cut out, scaled to 224x224 and mirrored. Of ours there is also what is
left to the host when a device crops and mirrors small images. Contenders are processes
that take turns, so that a slow moment of the machine falls on all of them; the table
shows medians. CPU seconds are of all processes of a contender. PyTorch and grain run
where they are installed, with pillow, in environments of their own:

    python -m venv torch && torch/bin/pip install torch numpy pillow
    python -m venv grain && grain/bin/pip install grain array_record numpy pillow
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

from tests.bench import input_turns

ROOT = pathlib.Path(__file__).parent.parent.parent
GOALS = {  # Ours over theirs, in images per CPU second.
    ("small", "one by one"): 2.5,
    ("small", "PyTorch"): 3.0,
    ("large", "best"): 1.1,
}


class Contender:
    """A process that delivers batches for each line it is sent."""

    def __init__(self, name, python, arguments, kind, folder):
        self.name = name
        self.wall, self.cpu, self.rss = [], [], []
        self._process = subprocess.Popen(
            [python, "-m", *arguments, kind, folder, str(os.cpu_count())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.first_batch = self._read()
        self._signal(signal.SIGSTOP)

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped; run its module by hand to see why.")
        return json.loads(line)

    def turn(self, count="", *, counts=True):
        self._signal(signal.SIGCONT)
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        wall, cpu, rss = self._read()
        # Else it would fill its buffers in the turns of others, which nothing counts.
        self._signal(signal.SIGSTOP)
        if counts:
            self.wall.append(wall)
            self.cpu.append(cpu)
        self.rss.append(rss)

    def close(self):
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number):
        # Its workers, too, which may wait for it for ever.
        os.killpg(self._process.pid, number)


def write_data(kinds, folder, num_large):
    """Make the images, and our sets of them, in a process that then ends."""
    arguments = [",".join(kinds), folder, str(num_large)]
    command = [sys.executable, "-m", "tests.bench.input_data", *arguments]
    subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)


def compare(kind, folder, pythons, rounds):
    module = "tests.bench.input_{}".format
    own = [("ours", "ours"), ("ours, host's", "host"), ("one by one", "example")]
    if kind == "large":  # The host does all.
        del own[1]
    contenders = [
        Contender(name, sys.executable, [module("ours"), which], kind, folder)
        for name, which in own
    ]
    for name, program in (("PyTorch", "torch"), ("grain", "grain")):
        if pythons[program]:
            python = pythons[program]
            contenders.append(Contender(name, python, [module(program)], kind, folder))
    for contender in contenders:
        contender.turn(counts=False)
    for _ in range(rounds):
        for contender in contenders:
            contender.turn()
    for contender in contenders:
        contender.close()
    table(kind, contenders)


def table(kind, contenders):
    images = input_turns.BATCHES[kind] * input_turns.BATCH_SIZE[kind]
    ours = contenders[0]
    print(f"{kind:<14}{'images/CPU s':>14}{'images/s':>12}{'ours, CPU':>11}", end="")
    print(f"{'ours, wall':>12}{'first batch, s':>16}")
    ratios = {}
    for c in contenders:
        ratios[c.name] = statistics.median(
            b / a for a, b in zip(ours.cpu, c.cpu, strict=True)
        )
        by_wall = statistics.median(
            b / a for a, b in zip(ours.wall, c.wall, strict=True)
        )
        cpu, wall = statistics.median(c.cpu), statistics.median(c.wall)
        print(
            f"{c.name:<14}{images / cpu:>14,.0f}{images / wall:>12,.0f}"
            f"{ratios[c.name]:>10.2f}x{by_wall:>11.2f}x{c.first_batch:>16.2f}"
        )
    ratios["best"] = min(r for name, r in ratios.items() if "ours" not in name)
    for (goal_kind, name), goal in GOALS.items():
        if goal_kind == kind and name in ratios:
            print(f"ours / {name}: {ratios[name]:.2f} (goal >= {goal})")
    print()


def memory(kind, folder, num_images, epochs=10):
    """Show how much memory ours has after each epoch."""
    module = "tests.bench.input_ours"
    contender = Contender("ours", sys.executable, [module, "ours"], kind, folder)
    for _ in range(epochs):
        contender.turn(num_images // input_turns.BATCH_SIZE[kind])
    contender.close()
    shown = ", ".join(f"{rss / 1e6:.0f}" for rss in contender.rss)
    print(f"{kind}: MB after each of {epochs} epochs: {shown}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch_python", default="")
    parser.add_argument("--grain_python", default="")
    parser.add_argument("--kinds", default="small,large")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=2000)
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    pythons = {"torch": args.torch_python, "grain": args.grain_python}
    for name, python in pythons.items():
        if not python:
            print(f"--{name}_python is not given: its rows are left out (see --help).")
    with tempfile.TemporaryDirectory() as folder:
        write_data(kinds, folder, args.images)
        for kind in kinds:
            compare(kind, folder, pythons, args.rounds)
            memory(kind, folder, 50_000 if kind == "small" else args.images)


if __name__ == "__main__":
    main()
