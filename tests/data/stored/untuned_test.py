"""An iterator that is not tuned has no thread for that, which might hold up its end."""

import pathlib

import pytest
import tensorflow as tf

from sam_pod.data.stored import framing, untuned
from tests import fixtures
from tests.data import sets

TASKS = pathlib.Path("/proc/self/task")


def threads():
    return set(TASKS.iterdir())


def ended_with_an_iterator(dataset, iterate=iter):
    """Return how many threads end when an iterator that has been used is dropped."""
    iterator = iterate(dataset)
    next(iterator)
    before = threads()
    del iterator
    return len(before - threads())


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are not seen without /proc")
def test_only_what_tensorflow_tunes_has_a_thread_for_it(tmp_path):
    numbers = tf.data.Dataset.range(3)
    few = ended_with_an_iterator(untuned.untuned(numbers))
    assert ended_with_an_iterator(numbers) > few
    sets.write_file(tmp_path / "one", [b"a", b"b"])
    with framing.in_memory((tmp_path / "one").read_bytes()) as dataset:
        assert ended_with_an_iterator(dataset) == few


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are not seen without /proc")
@pytest.mark.parametrize("count", [1, 2])
def test_the_iterators_of_a_strategys_devices_have_none(count):
    strategy = fixtures.mirrored(count)
    batches = strategy.distribute_datasets_from_function(
        lambda context: untuned.untuned(tf.data.Dataset.range(8))
    )
    few = ended_with_an_iterator(batches, untuned.iterator)
    assert ended_with_an_iterator(batches) == few + count
