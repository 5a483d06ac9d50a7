"""Loops are cut to a bounded time, on a clock of our own."""

import pytest
import tensorflow as tf

from sam_pod.run import pace


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


def test_loops_fit_the_time_and_never_pass_the_limits(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    asked = []

    def loop(iterator, num_steps):
        steps = int(num_steps)
        asked.append(steps)
        clock.now += 0.5 * steps + (100 if len(asked) == 1 else 0)
        # The last step of each loop waits for a tenth of a second.
        return tf.zeros([steps, 2]), tf.constant([0.0] * (steps - 1) + [0.1])

    paced = pace.PacedLoop(loop, iter(()), max_steps=20, max_seconds=5.0)
    assert not paced.is_compiled
    # One to compile, one to measure, then 5 s of half-second steps.
    for _ in range(3):
        ran = paced(1000)
    assert asked == [1, 1, 10]
    assert (len(ran.rows), ran.steps_per_second) == (10, 2.0)
    assert ran.wait_fraction == pytest.approx(0.1 / 5)
    paced(4)
    assert asked[-1] == 4
    assert len(paced.exactly(30).rows) == 30
    slow = pace.PacedLoop(loop, iter(()), max_steps=3, max_seconds=0.1)
    for _ in range(3):
        slow(1000)
    assert asked[-3:] == [1, 1, 1]
    quick = pace.PacedLoop(loop, iter(()), max_steps=3, max_seconds=50)
    for _ in range(3):
        quick(1000)
    assert asked[-1] == 3
