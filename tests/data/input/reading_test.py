"""Held in memory or read record by record: the same bytes, on any number of hosts."""

import re
import sys

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline, reading
from sam_pod.data.stored import manifest
from tests import own_process
from tests.data import sets
from tests.data.input.opened import TEST, TRAIN, context, open_splits, take, training

LAYOUTS = {
    "raw": (lambda i: sets.noisy(i), 0),
    "raw, other size": (lambda i: sets.noisy(i, (9, 12)), 6),
    "jpeg": (lambda i: sets.jpeg(sets.noisy(i, (8 + i % 3, 9))), 8),
    "png and jpeg": (
        lambda i: (sets.png, sets.jpeg)[i % 2](sets.noisy(i, (20, 14 + i % 5))),
        8,
    ),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def both(request, tmp_path_factory):
    make, image_size = LAYOUTS[request.param]
    images = [make(i) for i in range(TRAIN + TEST)]
    folder = tmp_path_factory.mktemp("data")
    return [
        open_splits(folder, images, is_held=is_held, image_size=image_size)
        for is_held in (True, False)
    ]


def test_training_batches_are_the_same_held_and_streamed(both):
    held, streamed = (take(training(splits, 3), 12) for splits in both)
    for one, other in zip(held, streamed, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert [part.dtype for part in held[0]] == [np.uint8, np.int32]
    assert held[0][0].shape == (14, *both[0]["train"].reader.image_shape)


@pytest.mark.parametrize(
    ("both", "name"),
    list(zip(LAYOUTS, ("train", "validation", "test", "train"), strict=True)),
    indirect=["both"],
)
def test_evaluation_batches_are_the_same_held_and_streamed(both, name):
    passes = [
        take(pipeline.evaluation(splits[name], global_batch_size=8), 16)
        for splits in both
    ]
    for one, other in zip(*passes, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_is_read_is_what_was_stored(tmp_path):
    images = [sets.noisy(i, (9, 9)) for i in range(TRAIN + TEST)]
    for name, content in (("a", images), ("b", [sets.png(i) for i in images])):
        for is_held in (True, False):
            splits = open_splits(
                tmp_path / name, content, is_held=is_held, image_size=9
            )
            images_read, labels, _ = take(
                pipeline.evaluation(splits["test"], global_batch_size=TEST), 1
            )[0]
            np.testing.assert_array_equal(images_read, images[TRAIN:])
            np.testing.assert_array_equal(labels, np.arange(TEST) % sets.CLASSES)


def megabytes(kind):
    """Return VmRSS or VmHWM, its highest since that was last forgotten."""
    with open("/proc/self/status") as status:
        return int(re.search(rf"{kind}:\s*(\d+) kB", status.read())[1]) / 1000


def forget_the_highest():
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")


LARGE = 4001  # Images of 128 x 128 pixels: 200 MB.


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return the folder of the large set."""
    folder = tmp_path_factory.mktemp("large")
    sets.write(folder, [sets.noisy(i, (128, 128)) for i in range(LARGE)])
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["train", "validation"])
def test_what_is_held_takes_its_memory_once(large, name):
    """In a process of its own, which other tests have not grown."""
    code = (
        "from tests.data.input import reading_test\n"
        f"reading_test.check_memory({str(large)!r}, {name!r})"
    )
    own_process.check(code)


def check_memory(folder, name):
    splits = pipeline.splits(folder, manifest.read(folder), LARGE // 2)
    rows = splits[name].rows(tf.range(7, dtype=tf.int64)).numpy()
    take(pipeline.evaluation(splits["test"], global_batch_size=7), 1)  # Starts threads.
    before = megabytes("VmRSS")
    forget_the_highest()
    batches, labels, _ = take(
        pipeline.evaluation(splits[name], global_batch_size=7), 1
    )[0]
    held = splits[name].num_examples * 128 * 128 * 3 / 1e6
    # Parts are under way, too, and what they were read from is not given back at once.
    assert held < megabytes("VmHWM") - before + 10 < held + 200
    expected = [sets.noisy(row, (128, 128)) for row in rows]
    np.testing.assert_array_equal(batches, expected)
    np.testing.assert_array_equal(labels, rows % sets.CLASSES)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_what_is_missing_is_not_made_up(tmp_path, monkeypatch, name):
    """The files have changed since they were checked."""
    monkeypatch.setattr(reading, "_PART_BYTES", 3000)
    images = [sets.noisy(i) for i in range(TRAIN + TEST)]
    splits = open_splits(tmp_path, images)
    sets.write_file(tmp_path / f"{splits[name].stored}-1.tfrecord", [])
    batches = pipeline.evaluation(splits[name], global_batch_size=7)(context())
    with pytest.raises((tf.errors.InvalidArgumentError, StopIteration)):
        next(iter(batches))


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Return, for whether they are held, splits of images that say their numbers."""
    images = [sets.flat(i) for i in range(TRAIN + TEST)]
    return {
        is_held: open_splits(tmp_path_factory.mktemp("flat"), images, is_held=is_held)
        for is_held in (True, False)
    }


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


# 7 and 3 divide neither the shards nor the examples.
@pytest.mark.parametrize(
    ("is_held", "hosts"), [(True, 3), (False, 2), slow(True, 7), slow(False, 7)]
)
def test_hosts_share_each_epoch_and_no_example_is_lost(flat, hosts, is_held):
    splits = flat[is_held]
    steps = pipeline.steps_per_epoch(splits["train"], 42)
    assert steps == 2
    batches = pipeline.training(
        splits["train"], global_batch_size=42, seed=1, start_step=0
    )
    whole = [sets.numbers(images) for images, _ in take(batches, 2 * steps)]
    shares = [
        [
            sets.numbers(images)
            for images, _ in take(
                batches, 2 * steps, hosts=hosts, host=host, replicas=hosts
            )
        ]
        for host in range(hosts)
    ]
    for step, batch in enumerate(whole):
        np.testing.assert_array_equal(
            np.concatenate([share[step] for share in shares]), batch
        )
    for epoch in (whole[:steps], whole[steps:]):
        # 84 are left to train on, which is two batches of 42: every one of them, once.
        assert len(set(np.concatenate(epoch))) == 84


# With 29 in shares of 20 the last host has none, with 19 the last two.
@pytest.mark.parametrize(
    ("is_held", "hosts", "batch"),
    [(True, 3, 60), (False, 3, 60), slow(True, 2, 42), slow(False, 7, 42)],
)
def test_evaluation_is_exact_on_any_hosts(flat, is_held, hosts, batch):
    splits = flat[is_held]
    for name, expected in (("test", range(TRAIN, TRAIN + TEST)), ("validation", None)):
        batches = pipeline.evaluation(splits[name], global_batch_size=batch)
        steps = pipeline.evaluation_steps(splits[name], batch)
        seen = []
        for host in range(hosts):
            for images_read, _, mask in take(
                batches, steps, hosts=hosts, host=host, replicas=hosts
            ):
                seen.extend(sets.numbers(images_read)[mask > 0])
        assert len(seen) == len(set(seen)) == splits[name].num_examples
        assert expected is None or sorted(seen) == list(expected)


def test_images_of_any_size_need_a_size_to_be_seen_at(tmp_path):
    splits = open_splits(
        tmp_path, [sets.png(sets.flat(i)) for i in range(TRAIN + TEST)]
    )
    with pytest.raises(errors.UserError, match=r"`data\.image_size` is 0.*such as 224"):
        reading.image_shape(splits["train"].manifest, 0)
    assert reading.image_shape(splits["train"].manifest, 24) == (24, 24, 3)


@pytest.mark.parametrize("is_held", [True, False])
def test_resuming_counts_no_steps(tmp_path, is_held):
    """A start that could not be walked to is there at once, and is the right one."""
    images = [sets.flat(i) for i in range(TRAIN + TEST)]
    splits = open_splits(tmp_path, images, is_held=is_held)
    epoch_steps, epoch = pipeline.steps_per_epoch(splits["train"], 14), 10**9
    images, _ = take(training(splits, epoch * epoch_steps + 2), 1)[0]
    places = pipeline._shuffle(tf.range(28, 42, dtype=tf.int64), (3, epoch), 83)
    np.testing.assert_array_equal(
        sets.numbers(images), splits["train"].rows(places).numpy()
    )


def test_the_graph_captures_no_tensor(tmp_path):
    """What a dataset captures does not reach the other hosts of a slice."""
    images = [sets.png(sets.flat(i)) for i in range(TRAIN + TEST)]
    for is_held, random_parts in ((True, False), (False, False), (False, True)):
        splits = open_splits(
            tmp_path,
            images,
            is_held=is_held,
            image_size=8,
            random_parts=random_parts,
            mirrors=random_parts,
        )
        for input_fn in (
            training(splits),
            pipeline.evaluation(splits["test"], global_batch_size=8),
        ):
            datasets = [input_fn(context())]
            while datasets:
                dataset = datasets.pop()
                datasets.extend(dataset._inputs())
                for function in dataset._functions():
                    assert not function.function.captured_inputs, dataset


def test_shards_without_examples_are_not_asked_for(tmp_path, monkeypatch):
    """In buckets each file is asked for alone, and no byte behind its end."""
    images = [sets.noisy(i) for i in range(3)]
    made = sets.write(tmp_path / "set", images, shards=5)
    assert [shard.num_examples for shard in made.splits["train"]] == [1, 1, 1, 0, 0]
    for shard in made.splits["train"][3:]:
        (tmp_path / "set" / shard.file).unlink()
    monkeypatch.setattr(reading.files, "is_remote", lambda path: True)
    reader = reading.Reader(str(tmp_path / "set"), made, "train", reading.AS_STORED)
    places = tf.data.Dataset.from_tensors(
        reading.Places(tf.constant([0, 1, 2], tf.int64))
    )
    found, labels = next(iter(reader.held(places, np.array([2, 0, 1]))))
    np.testing.assert_array_equal(found, [images[i] for i in (2, 0, 1)])
    np.testing.assert_array_equal(labels, [2, 0, 1])
