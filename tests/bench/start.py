"""Time a start, from the command line to the first finished step, of two checkouts.

python -m tests.bench.start OTHER [--rounds=5] [--data_dir=data/digits]

OTHER is another checkout, such as of an older commit; both run in this environment, in
turns, on the same prepared set (`python -m sam_pod.data.prepare --dataset=digits
--output=data/digits`, by the older of the two). A start ends where its log says
"Compiled the step". CPU seconds count all threads; a busy machine has longer ones, too.
The table says until when each part of a start lasts.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
# Runs the command, and says at each line of its log what it has cost until then. Time
# in a function is said when it returns.
PROGRAM = """
import sys, time
began = time.monotonic()
def say(what):
    seconds, cpu = time.monotonic() - began, time.process_time()
    sys.stdout.write(f"@{what}@{seconds}@{cpu}\\n")
    sys.stdout.flush()
say("Python")
import absl.logging, logging
class Marks(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        for start, name in (
            ("Workdir", "flags and config"),
            ("Running on", "import of TensorFlow, devices"),
            ("Compiling the step", "model, variables, data, first examples, input"),
            ("Compiled the step", "trace, optimization, first step"),
        ):
            if text.startswith(start):
                say(name)
logging.getLogger("absl").addHandler(Marks())
import runpy
runpy.run_module("sam_pod.main", run_name="__main__", alter_sys=True)
"""
LAST = "trace, optimization, first step"


def start(root, data_dir, *, python=sys.executable, flags=(), more=()):
    """Return by name (wall, CPU) seconds until the end of each part.

    Args:
        root: A checkout.
        data_dir: The prepared digits.
        python: Of the environment.
        flags: Further ones of the command.
        more: Further variables of its environment, a dictionary.
    """
    marks = {}
    environment = {**os.environ, "PYTHONPATH": str(root), **dict(more)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-c", PROGRAM]
        command += [f"--config={root}/configs/resnet20.py:digits", *flags]
        command += [f"--workdir={folder}/run", f"--config.data.dir={data_dir}"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=root,
            text=True,
        )
        for line in process.stdout:
            if line.startswith("@"):
                _, name, wall, cpu = line.split("@")
                marks.setdefault(name, (float(wall), float(cpu)))
                if name == LAST:
                    break
        process.kill()
        process.communicate()
    if LAST not in marks:
        raise SystemExit(f"{root} made no step; run its command by hand to see why.")
    return marks


def medians(starts, name):
    return [statistics.median(marks[name][i] for marks in starts) for i in (0, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data_dir", default="data/digits")
    args = parser.parse_args()
    data_dir = os.path.abspath(args.data_dir)
    roots = {"other": args.other.absolute(), "this": ROOT}
    starts = {name: [] for name in roots}
    for number in range(args.rounds + 1):  # The first one fills caches.
        for name, root in roots.items():
            marks = start(root, data_dir)
            if number:
                starts[name].append(marks)
                print(f"{name:<6} {marks[LAST][0]:6.1f} s, {marks[LAST][1]:6.1f} CPU s")
    for name, found in starts.items():
        print(f"\n{name}: until then, medians{'':<23}{'wall s':>8}{'CPU s':>8}")
        for part in found[0]:
            wall, cpu = medians(found, part)
            print(f"  {part:<46}{wall:>8.1f}{cpu:>8.1f}")
    print()
    for i, unit in enumerate(("wall", "CPU")):
        pairs = zip(starts["this"], starts["other"], strict=True)
        ratio = statistics.median(a[LAST][i] / b[LAST][i] for a, b in pairs)
        print(f"this / other, {unit}: {ratio:.3f}")


if __name__ == "__main__":
    main()
