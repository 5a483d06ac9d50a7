"""Trying again: what, how often, and when it is given up."""

import types

import pytest
import tensorflow as tf

from sam_pod.storage import faults, retries


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Return the pauses, which do not happen."""
    waits, now = [], [0.0]

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    # A clock of this module alone: threads that others left sleep by the real one.
    clock = types.SimpleNamespace(sleep=sleep, monotonic=lambda: now[0])
    monkeypatch.setattr(retries, "time", clock)
    monkeypatch.setattr(retries._Policy, "seconds", 60.0)
    monkeypatch.setattr(retries._Policy, "has_given_up", False)
    return waits


def failing(times, kind=tf.errors.UnavailableError):
    calls = []

    def action():
        calls.append(0)
        if len(calls) <= times:
            raise kind(None, None, "HTTP 503\n of https://user:secret@host/x?sig=abc")
        return "done"

    return action


def test_what_passes_by_itself_is_tried_again(waits, caplog):
    assert retries.persist(failing(4), "s3://b/x") == "done"
    assert waits == [0.5, 1, 2, 4]
    assert waits == retries.pauses()[:4]


def test_it_is_given_up_after_the_time_that_was_set(waits):
    retries.limit_to(10)
    with pytest.raises(faults.StorageLost) as raised:
        retries.persist(failing(100), "s3://b/x")
    assert sum(waits) == 10
    assert "s3://b/x has failed for 10 s: HTTP 503 of https://" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "abc" not in str(raised.value)
    # And once only: leaving is not to wait again at each thing it would write.
    with pytest.raises(faults.StorageLost):
        retries.persist(failing(100), "s3://b/y")
    assert sum(waits) == 10


@pytest.mark.parametrize(
    "error", [tf.errors.NotFoundError, tf.errors.PermissionDeniedError]
)
def test_what_stays_is_told_at_once(waits, error):
    with pytest.raises(error):
        retries.persist(failing(1, error), "s3://b/x")
    assert not waits


def test_pauses_grow_to_a_bound_and_sum_up_to_the_time(waits):
    retries.limit_to(0)
    assert retries.pauses() == []
    retries.limit_to(120)
    pauses = retries.pauses()
    assert sum(pauses) == 120
    assert max(pauses) == retries.LONGEST_PAUSE_SECONDS
