#!/usr/bin/env bash
# Dropping an iterator of tf.data may wait for up to a minute, for nothing. An iterator has
# a thread that tunes it (on by default), which sleeps twice as long each time, at most a
# minute. The iterator's destructor wakes that thread, and it counts as cancelled only when
# all callbacks have run (CancellationManager::StartCancelWithStatus sets is_cancelled_
# after them). A thread that is scheduled between the two finds that it is not cancelled
# and sleeps on (Model::OptimizeLoop), and the destructor joins it. That is rare on idle
# cores, and not where the thread that is woken runs next in the place of the other.
# So a program that is done with its data may wait about as long as it has run.
# Seen with tensorflow-cpu 2.21.0 and 2.16.2, on one core: in one of ten iterators or so
# that were there for a second. Exits with 0 while, of at most 600, one takes more than
# 0.5 s to go, and none of as many that are not tuned (options.autotune.enabled = False).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'EOF'
import os
import time

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import tensorflow as tf


def iterator(tuned):
    numbers = tf.data.Dataset.range(1000).map(lambda x: x + 1)
    options = tf.data.Options()
    options.autotune.enabled = tuned
    made = iter(numbers.with_options(options))
    next(made)
    return made


def waits(tuned, rounds):
    """Yield how long each of 20 iterators a round takes to go, after a second."""
    for _ in range(rounds):
        iterators = [iterator(tuned) for _ in range(20)]
        time.sleep(1)
        while iterators:
            begun = time.monotonic()
            iterators.pop()
            yield time.monotonic() - begun


count, longest = 0, 0.0
for count, longest in enumerate(waits(True, 30), start=1):
    if longest > 0.5:
        break
untuned = max(waits(False, -(-count // 20)))
print(f"tuned: {longest:.2f} s, number {count}; not tuned: at most {untuned:.2f} s")
assert longest > 0.5 > untuned
EOF
