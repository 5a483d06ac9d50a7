"""Compare SAM steps of larger networks with PyTorch, compiled by torch.compile.

python -m tests.bench.networks [--torch_python=PYTHON] [--networks=wrn16_4,resnet50]
    [--dtypes=bfloat16,float32] [--rounds=7]

WRN-16-4 on images of 32 x 32, batch 128, and ResNet-50 (version 1.5, 1,000 classes) on
64 x 64, batch 64, on this machine's CPU, two threads a side, SGD with momentum and no
augmentation. The sides take turns, a step each; figures are medians over the rounds.
PyTorch runs in an environment of its own (python -m venv torch && torch/bin/pip install
torch numpy), channels_last, with autocast for bfloat16.
"""

import argparse
import statistics
import sys

from tests.bench.contender import Contender, has_torch, take_turns

THREADS = 2
BATCH_SIZES = {"wrn16_4": 128, "resnet50": 64}
GOAL = 1.2  # Of images/s, SAM in bfloat16.
HEAD = ("network", "dtype", "ours, images/s", "PyTorch's", "ours / PyTorch", "by CPU")


def sides(network, dtype, torch_python):
    """Return the two contenders."""
    arguments = (network, dtype, BATCH_SIZES[network], THREADS)
    return [
        Contender("ours", (sys.executable, "networks_ours", *arguments)),
        Contender("PyTorch", (torch_python, "networks_torch", *arguments)),
    ]


def row(network, dtype, args):
    """Return the cells of a network's line."""
    contenders = sides(network, dtype, args.torch_python)
    take_turns(contenders, args.rounds)
    for contender in contenders:
        contender.close()
    ours, theirs = contenders
    rates = [BATCH_SIZES[network] / statistics.median(c.wall) for c in contenders]
    ratios = [
        statistics.median(b / a for a, b in zip(*pair, strict=True))
        for pair in ((ours.wall, theirs.wall), (ours.cpu, theirs.cpu))
    ]
    cells = [f"{rate:.1f}" for rate in rates] + [f"{ratio:.2f}" for ratio in ratios]
    return [network, dtype, *cells]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--networks", default=",".join(BATCH_SIZES))
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if not has_torch(args.torch_python):
        raise SystemExit("PyTorch is not installed there; see --help.")
    print("".join(f"{cell:>16}" for cell in HEAD), flush=True)
    for network in args.networks.split(","):
        for dtype in args.dtypes.split(","):
            cells = row(network, dtype, args)
            print("".join(f"{cell:>16}" for cell in cells), flush=True)
    print(f"The goal in bfloat16: >= {GOAL}")


if __name__ == "__main__":
    main()
