"""Compare the members of the family: a mean step of each over the plain step.

python -m tests.bench.family [--torch_python=PYTHON] [--members=sam,looksam]
    [--dtypes=float32,bfloat16] [--rounds=7] [--steps=1] [--batch_size=128]

ResNet20 on this machine's CPU, two threads a side. Ours is one process with a compiled
loop for each member, built from a config as `main` builds it; the other is one of
PyTorch, with the members that pytorch_optimizer has, where it is installed: in this
environment, or in that of --torch_python (python -m venv torch && torch/bin/pip install
torch numpy pytorch_optimizer==4.1.0). Members take turns, and each turn follows one of
the plain step of the same side; a turn has whole periods (LookSAM's five steps, the
interval's ten, the window's eight, of which one ascends) and at least --steps. Figures
are medians over the rounds: ratios of turns that follow each other, by wall time and by
CPU time, of which the second suffers less from others on the machine.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from tests.bench.family_members import MEMBERS

ROOT = pathlib.Path(__file__).parent.parent.parent
THREADS = 2
OVER_PYTORCH = {"sam": 1.45}  # Goals of images/s; the others' is:
OVER_PYTORCH_ELSE = 1.3
HEAD = (
    "member",
    "images/s",
    "time / plain",
    "CPU / plain",
    "goal",
    "PyTorch images/s",
    "its time / plain",
    "ours / PyTorch",
    "by CPU",
    "goal",
)


class Side:
    """A process that takes a turn of a member for each line it is sent."""

    def __init__(self, name, python, arguments):
        self.name = name
        self.turns = {member: [] for member in MEMBERS}  # (wall, CPU) a step.
        self.plain = {member: [] for member in MEMBERS}  # Those before them.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, "-m", f"tests.bench.family_{name}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
        )
        greeting = self._read()
        self.members, self.says = greeting["members"], greeting["says"]

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            print(self._errors.read()[-4000:], file=sys.stderr)
            raise SystemExit(f"The process of {self.name!r} stopped: see above.")
        return json.loads(line)

    def _turn(self, member):
        self._process.stdin.write(f"{member}\n")
        self._process.stdin.flush()
        return self._read()

    def take(self, member, count):
        """Take a turn of the plain step, then one of the member."""
        plain = self._turn(MEMBERS[member].plain)
        turn = self._turn(member)
        if count:
            self.plain[member].append(plain)
            self.turns[member].append(turn)

    def close(self):
        self._process.kill()  # It holds nothing, and to tear it all down takes a while.
        self._process.wait()
        self._errors.close()


def median_ratio(above, below, place):
    """Return the median of ratios of turns: of wall time at 0, of CPU time at 1."""
    pairs = zip(above, below, strict=True)
    return statistics.median(a[place] / b[place] for a, b in pairs)


def row(member, batch_size, ours, torch):
    """Return the cells of a member."""
    turns, plain = ours.turns[member], ours.plain[member]
    goal = MEMBERS[member].goal
    cells = [
        member,
        f"{batch_size / statistics.median(wall for wall, _ in turns):.1f}",
        f"{median_ratio(turns, plain, 0):.3f}",
        f"{median_ratio(turns, plain, 1):.3f}",
        "" if goal is None else f"≤ {goal}",
    ]
    if torch is None or member not in torch.members:
        return [*cells, *[""] * 5]
    theirs = torch.turns[member]
    over = OVER_PYTORCH.get(member, OVER_PYTORCH_ELSE)
    return [
        *cells,
        f"{batch_size / statistics.median(wall for wall, _ in theirs):.1f}",
        f"{median_ratio(theirs, torch.plain[member], 0):.3f}",
        f"{median_ratio(theirs, turns, 0):.2f}",
        f"{median_ratio(theirs, turns, 1):.2f}",
        "" if goal is None else f"≥ {over}",
    ]


def compare(dtype, members, args, has_torch):
    """Let all members take their turns in one type, and print their table."""
    common = [dtype, args.batch_size, THREADS, args.steps]
    load = os.getloadavg()[0]
    ours = Side("ours", sys.executable, common)
    torch = None
    if has_torch:
        given = [*common, int(args.torch_compile)]
        torch = Side("torch", args.torch_python, given)
    sides = [ours, torch] if torch else [ours]
    for number in range(args.rounds + 1):  # One to compile and warm up.
        for member in members:
            for side in sides:
                if member in side.members:
                    side.take(member, count=number > 0)
    says = f"; {torch.says}" if torch else ""
    print(f"\n{dtype}, batch {args.batch_size}, {args.rounds} rounds{says}; ", end="")
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    cells = [row(member, args.batch_size, ours, torch) for member in members]
    for line in (HEAD, ["---"] * len(HEAD), *cells):
        print(f"| {' | '.join(line)} |", flush=True)
    for side in sides:
        side.close()


def can_import(python, *modules):
    command = [python, "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def names(known):
    """Return what reads a list of names of those that are known."""

    def read(text):
        given = text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(
                f"there is no {unknown[0]!r}; there are {', '.join(known)}"
            )
        return given

    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument(
        "--torch_compile", default=True, action=argparse.BooleanOptionalAction
    )
    parser.add_argument("--members", type=names(MEMBERS), default=list(MEMBERS))
    types = ["float32", "bfloat16"]
    parser.add_argument("--dtypes", type=names(types), default=types)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=128)
    args = parser.parse_args()
    has_torch = can_import(args.torch_python, "torch", "pytorch_optimizer")
    if not has_torch:
        print(f"{args.torch_python} has no torch and pytorch_optimizer (see --help).")
    for dtype in args.dtypes:
        compare(dtype, args.members, args, has_torch)


if __name__ == "__main__":
    main()
