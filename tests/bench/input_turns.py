"""What the contenders of input.py share: turns, and the time that they cost.

Nothing here is installed anywhere: each contender runs in an environment of its own.
"""

import glob
import json
import os
import sys
import time

BATCH_SIZE = {"small": 128, "large": 64}
# Of a turn; those that were made before it began are few beside them.
BATCHES = {"small": 400, "large": 64}
SIZE = 224  # Of what is cut out of a large image.


def arguments():
    """Return (kind of images, folder of the data, number of workers)."""
    kind, folder, workers = sys.argv[1:]
    return kind, folder, int(workers)


def take_turns(make, kind):
    """Take a turn for each line on stdin; print its seconds, of the wall and of CPUs.

    Args:
        make: A function that returns a new, endless iterator of batches.
        kind: 'small' or 'large'.
    """
    start = time.perf_counter()
    batches = iter(make())
    check(next(batches), kind)
    print(json.dumps(time.perf_counter() - start), flush=True)
    for line in sys.stdin:
        count = int(line) if line.strip() else BATCHES[kind]
        wall, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(count):
            batch = next(batches)
        turn = time.perf_counter() - wall, cpu_seconds() - cpu
        check(batch, kind)
        print(json.dumps([*turn, rss_bytes()]), flush=True)
    os._exit(0)  # Without waiting for workers that wait for us.


def check(batch, kind):
    images, labels, *_ = batch  # Ours has no mask.
    side = {"small": 32, "large": SIZE}[kind]
    shape, size = tuple(images.shape), BATCH_SIZE[kind]
    assert sorted(shape[1:]) == sorted((side, side, 3)) and shape[0] == size, shape
    assert str(images.dtype).endswith("uint8") or "uint8" in str(images.dtype)
    assert len(labels) == size


def family():
    """Return this process and those that it started."""
    known, found = [os.getpid()], []
    while known:
        found.append(known.pop())
        for path in glob.glob(f"/proc/{found[-1]}/task/*/children"):
            with open(path) as file:
                known.extend(map(int, file.read().split()))
    return found


def cpu_seconds():
    """Return what the processors have worked for this process and its own."""
    ticks = 0
    for pid in family():
        with open(f"/proc/{pid}/stat") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
