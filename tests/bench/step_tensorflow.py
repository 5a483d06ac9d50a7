"""One contender of step.py: this project's compiled step. dtype rho batch threads."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import sys

from tests.bench import contender, our_step


def main():
    dtype, rho, batch_size, threads = sys.argv[1:]
    step = our_step.compile_steps(
        our_step.connect(int(threads)),
        {"sam.rho": float(rho)},
        batch_size=int(batch_size),
        dtype=dtype,
        steps=1,
    )
    contender.answer(step)


if __name__ == "__main__":
    main()
