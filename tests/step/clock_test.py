"""The time of the graph is that of the system."""

import time

import pytest
import tensorflow as tf

from sam_pod.step import clock


@pytest.mark.parametrize("compiled", [False, True])
def test_it_is_the_time_since_the_machine_was_started(compiled):
    seconds = tf.function(clock.seconds) if compiled else clock.seconds
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = float(seconds())
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before - 2 * clock.RESOLUTION <= found <= after + 2 * clock.RESOLUTION


def test_each_call_looks_anew():
    seconds = tf.function(clock.seconds)
    first = float(seconds())
    while float(seconds()) == first:
        pass


def test_where_no_file_tells_it_stands_still(monkeypatch):
    monkeypatch.setattr(clock, "UPTIME", "/proc/no such file")
    assert float(clock.seconds()) == 0.0
