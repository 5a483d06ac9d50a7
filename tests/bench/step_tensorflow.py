"""One contender of step.py: this project's compiled step. dtype rho batch threads."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import json
import sys
import time

from tests.bench import our_step


def main():
    dtype, rho, batch_size, threads = sys.argv[1:]
    step = our_step.compile_steps(
        our_step.connect(int(threads)),
        {"sam.rho": float(rho)},
        batch_size=int(batch_size),
        dtype=dtype,
        steps=1,
    )
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
