"""When a run is saved, and in which order."""

import contextlib
import threading
import types

import pytest

from sam_pod.config import keys as config_lib
from sam_pod.process import signals
from sam_pod.run import saver
from sam_pod.step import progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Workers:
    """This worker, and another that may have something to say."""

    def __init__(self, is_chief=True, others=(False, False)):
        self.is_chief, self.others = is_chief, others

    def any(self, *marks):
        return [a or b for a, b in zip(marks, self.others, strict=True)]


def session_of(done, workers):
    """Return a session whose parts note in `done` what is asked of them."""

    def noting(name):
        return lambda *arguments: done.append((name, *arguments))

    workers.barrier = noting("barrier")
    config = config_lib.defaults()
    config.checkpoint.every_seconds = 60.0
    return types.SimpleNamespace(
        config=config,
        bounded=lambda what: contextlib.nullcontext(),
        stop=threading.Event(),
        runtime=types.SimpleNamespace(workers=workers),
        executor=types.SimpleNamespace(settle=lambda state: None),
        state=types.SimpleNamespace(write_progress=noting("progress")),
        writer=types.SimpleNamespace(flush=noting("metrics")),
        checkpoints=types.SimpleNamespace(
            save=noting("weights"), save_best=noting("best"), wait=noting("wait")
        ),
    )


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(saver, "time", clock)
    return clock


def test_metrics_are_on_the_disk_before_the_weights_and_seconds_add_up(clock):
    done = []
    record = progress.Progress(seconds=7.0)
    one = saver.Saver(session_of(done, Workers()), record)
    clock.now += 5.0
    one.save(progress.Progress(validated_epochs=1.0))
    saved = progress.Progress(validated_epochs=1.0, seconds=12.0)
    assert done == [("metrics",), ("progress", saved), ("weights",)]


def test_the_best_weights_are_saved_under_the_validation_that_says_so(clock):
    done = []
    one = saver.Saver(session_of(done, Workers()), progress.Progress())
    record = progress.Progress(validated_epochs=3.0)
    one.save_best(record)
    assert done == [("progress", record), ("best",)]


def test_it_saves_by_the_chiefs_clock_alone(clock):
    record, done = progress.Progress(), []
    one = saver.Saver(session_of(done, Workers()), record)
    for seconds, saves in ((59.0, 0), (1.0, 1), (59.0, 1), (2.0, 2)):
        clock.now += seconds
        one.save_if_due_or_stopped(record)
        assert done.count(("weights",)) == saves
    for others, saves in (((False, False), 0), ((False, True), 1)):
        done = []
        one = saver.Saver(session_of(done, Workers(False, others)), record)
        clock.now += 1000.0
        one.save_if_due_or_stopped(record)
        assert done.count(("weights",)) == saves


@pytest.mark.parametrize("is_asked_here", [True, False])
def test_asked_to_stop_on_any_worker_it_saves_and_all_wait(clock, is_asked_here):
    done = []
    session = session_of(done, Workers(others=(not is_asked_here, False)))
    if is_asked_here:
        session.stop.set()
    one = saver.Saver(session, progress.Progress())
    with pytest.raises(signals.Interrupted):
        one.save_if_due_or_stopped(progress.Progress())
    assert done[-3:] == [("weights",), ("wait",), ("barrier",)]
