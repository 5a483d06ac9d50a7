"""The order of examples: each once an epoch, from anywhere, for any replicas."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline
from tests import fixtures

TRAIN, TEST, HELD_OUT = 103, 29, 23


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set"
    manifest = fixtures.write_data(path, train=TRAIN, test=TEST)
    return pipeline.splits(str(path), manifest, HELD_OUT)


def context(hosts=1, host=0, replicas=1):
    return tf.distribute.InputContext(hosts, host, replicas)


def take(input_fn, count, **where):
    return list(itertools.islice(input_fn(context(**where)), count))


def training(splits, start_step=0, seed=5):
    return pipeline.training(
        splits["train"], global_batch_size=16, seed=seed, start_step=start_step
    )


def order(splits, steps, **arguments):
    batches = take(training(splits, **arguments), steps)
    return np.array([fixtures.numbers(images) for images, *_ in batches])


def test_train_and_validation_are_disjoint_and_together_everything(splits):
    validation = take(pipeline.evaluation(splits["validation"], global_batch_size=8), 3)
    held_out = np.concatenate(
        [fixtures.numbers(i)[m.numpy() > 0] for i, _, m in validation]
    )
    assert len(set(held_out)) == len(held_out) == HELD_OUT
    # Drawn from all of it, not a tail of it.
    assert held_out.min() < TRAIN / 4 < 3 * TRAIN / 4 < held_out.max()
    trained = set(order(splits, 50).ravel())
    assert trained | set(held_out) == set(range(TRAIN))
    assert not trained & set(held_out)


def test_all_of_training_trains_where_nothing_validates(splits):
    train = splits["train"]
    everything = pipeline.splits(train.directory, train.manifest, 0)
    assert list(everything) == ["train", "test"]
    assert everything["train"].num_examples == TRAIN
    seen = set(order(everything, TRAIN // 16).ravel())
    assert len(seen) == TRAIN // 16 * 16


def test_an_epoch_repeats_nothing_and_the_next_has_another_order(splits):
    epochs = order(splits, 10).reshape(2, 5 * 16)
    assert [len(set(epoch)) for epoch in epochs] == [80, 80]
    assert (epochs[0] != epochs[1]).mean() > 0.9


def test_the_order_is_a_function_of_seed_epoch_and_step(splits):
    whole = order(splits, 12)
    np.testing.assert_array_equal(whole, order(splits, 12))
    for start in (1, 4, 5, 7):
        np.testing.assert_array_equal(
            whole[start:], order(splits, 12 - start, start_step=start)
        )
    assert (whole != order(splits, 12, seed=6)).mean() > 0.9


@pytest.mark.parametrize(("hosts", "replicas"), [(1, 4), (2, 2), (2, 8), (4, 4)])
def test_hosts_and_replicas_share_the_same_global_batches(splits, hosts, replicas):
    whole = order(splits, 6)
    local = replicas // hosts
    rows = []
    for host in range(hosts):
        batches = take(
            training(splits), 6 * local, hosts=hosts, host=host, replicas=replicas
        )
        numbers = np.array([fixtures.numbers(images) for images, *_ in batches])
        rows.append(numbers.reshape(6, 16 // hosts))
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), whole)


def test_labels_and_pixels_belong_to_each_other(tmp_path):
    manifest = fixtures.write_data(tmp_path / "a", train=50, test=20)
    splits = pipeline.splits(str(tmp_path / "a"), manifest, 10)
    stored = next(
        iter(pipeline.evaluation(splits["test"], global_batch_size=20)(context()))
    )
    rng = np.random.default_rng(0)
    rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    rng.integers(0, 4, 50)
    images = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    labels = rng.integers(0, 4, 20)
    np.testing.assert_array_equal(stored[0][:, 1:], images[:, 1:])
    np.testing.assert_array_equal(stored[1], labels)
    assert (stored[0].dtype, stored[1].dtype) == (tf.uint8, tf.int32)


@pytest.mark.parametrize(("hosts", "replicas"), [(1, 1), (1, 4), (2, 4)])
@pytest.mark.parametrize(
    "batch", [8, 28, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 32))]
)
def test_evaluation_sees_every_example_once_on_any_hosts(
    splits, hosts, replicas, batch
):
    steps = pipeline.evaluation_steps(splits["test"], batch)
    assert steps == -(-TEST // batch)
    seen = []
    local = replicas // hosts
    for host in range(hosts):
        for images, labels, mask in take(
            pipeline.evaluation(splits["test"], global_batch_size=batch),
            2 * steps * local,
            hosts=hosts,
            host=host,
            replicas=replicas,
        ):
            assert len(labels) == len(mask) == batch // replicas
            seen.extend(fixtures.numbers(images)[mask.numpy() > 0])
    assert sorted(seen) == sorted(2 * list(range(TEST)))


def test_too_few_examples_are_refused(splits):
    manifest, directory = splits["train"].manifest, splits["train"].directory
    with pytest.raises(errors.UserError, match=r"below the 103 training examples"):
        pipeline.splits(directory, manifest, TRAIN)
    with pytest.raises(errors.UserError, match=r"at most the 80 examples"):
        pipeline.steps_per_epoch(splits["train"], 81)
