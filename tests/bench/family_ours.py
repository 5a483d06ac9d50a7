"""One side of family.py: this project's members, a turn for each line.

Arguments: dtype batch threads steps. A line is a member's name; the answer is its wall
and CPU seconds a step. A member is built at its first turn.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import json
import sys
import time

from tests.bench import our_step
from tests.bench.family_members import MEMBERS, turn_steps


def main():
    dtype, *numbers = sys.argv[1:]
    batch_size, threads, at_least = map(int, numbers)
    strategy = our_step.connect(threads)
    print(json.dumps({"members": list(MEMBERS), "says": ""}), flush=True)
    built = {}
    for line in sys.stdin:
        name = line.strip()
        steps = turn_steps(name, at_least)
        if name not in built:
            built[name] = our_step.compile_steps(
                strategy,
                MEMBERS[name].keys,
                batch_size=batch_size,
                dtype=dtype,
                steps=steps,
            )
        wall, cpu = time.perf_counter(), time.process_time()
        built[name]()
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([seconds / steps for seconds in times]), flush=True)


if __name__ == "__main__":
    main()
