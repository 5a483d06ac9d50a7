"""Compare training steps side by side: plain, SAM, bfloat16, and PyTorch's.

python -m tests.bench.step [--torch_python=PYTHON] [--rounds=5] [--batch_size=128]

Each contender is a process of its own with two threads. They take turns, a step each,
so that a slow moment of the machine falls on all of them; the table shows medians.
PyTorch runs where it is installed: in this environment, or in that of --torch_python
(python -m venv torch && torch/bin/pip install torch numpy).
"""

import argparse
import statistics
import sys

from tests.bench.contender import Contender, has_torch, take_turns

THREADS = 2
# Programs: the module of each, and what its environment says. TensorFlow takes oneDNN's
# kernels by itself only on a processor with AVX-512 VNNI.
PROGRAMS = {
    "tensorflow": ("step_tensorflow", {}),
    "onednn": ("step_tensorflow", {"TF_ENABLE_ONEDNN_OPTS": "1"}),
    "torch": ("step_torch", {}),
    "input": ("step_input", {}),
}
# (name, program, its arguments)
CONTENDERS = [
    ("plain float32", "tensorflow", ["float32", "0"]),
    ("SAM float32", "tensorflow", ["float32", "0.05"]),
    ("plain bfloat16", "tensorflow", ["bfloat16", "0"]),
    ("SAM bfloat16", "tensorflow", ["bfloat16", "0.05"]),
    ("SAM float32, oneDNN", "onednn", ["float32", "0.05"]),
    ("PyTorch SAM float32", "torch", ["float32", "0.05"]),
    ("PyTorch SAM bfloat16", "torch", ["bfloat16", "0.05"]),
    ("input: read uint8", "input", ["read"]),
    ("input: augment", "input", ["augment"]),
]
RATIOS = [  # (what, slower, faster, goal)
    ("SAM / plain time, float32", "SAM float32", "plain float32", "<= 2.05"),
    ("SAM / plain time, bfloat16", "SAM bfloat16", "plain bfloat16", "<= 2.05"),
    ("default / oneDNN time, float32", "SAM float32", "SAM float32, oneDNN", ">= 1.00"),
    (
        "ours / PyTorch images/s, float32",
        "PyTorch SAM float32",
        "SAM float32",
        ">= 1.25",
    ),
    (
        "ours / PyTorch images/s, bfloat16",
        "PyTorch SAM bfloat16",
        "SAM bfloat16",
        ">= 1.10",
    ),
]


def table(contenders, batch_size):
    print(f"{'step':<22}{'CPU s':>8}{'wall s':>8}{'images/s':>10}")
    for c in contenders:
        wall = statistics.median(c.wall)
        cpu = statistics.median(c.cpu)
        print(f"{c.name:<22}{cpu:>8.3f}{wall:>8.3f}{batch_size / wall:>10.1f}")
    print()
    by_name = {c.name: c for c in contenders}
    for what, slower, faster, goal in RATIOS:
        if slower in by_name and faster in by_name:
            pairs = zip(by_name[slower].wall, by_name[faster].wall, strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{what:<36}{ratio:>8.2f}   (goal {goal})")
    read, augment, step = (
        statistics.median(by_name[name].cpu)
        for name in ("input: read uint8", "input: augment", "SAM bfloat16")
    )
    print(f"{'input, images per CPU second':<36}{batch_size / read:>8.0f}   (>= 30000)")
    print(f"{'augmentation / SAM bfloat16 CPU':<36}{augment / step:>8.4f}   (<= 0.02)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch_size", type=int, default=128)
    args = parser.parse_args()
    programs = dict.fromkeys(("tensorflow", "onednn", "input"), sys.executable)
    if has_torch(args.torch_python):
        programs["torch"] = args.torch_python
    else:
        print("PyTorch is not installed there: its rows are left out (see --help).\n")
    contenders = []
    for name, program, arguments in CONTENDERS:
        if program in programs:
            module, environment = PROGRAMS[program]
            command = (programs[program], module, *arguments, args.batch_size, THREADS)
            contenders.append(Contender(name, command, environment))
    take_turns(contenders, args.rounds)
    table(contenders, args.batch_size)
    for contender in contenders:
        contender.close()


if __name__ == "__main__":
    main()
