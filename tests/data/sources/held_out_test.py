import pickle

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.sources import arrays, held_out

LABELS = np.array([0] * 40 + [1] * 10 + [2] * 2 + [3])
KEYS = [f"train/{label}/{i}.png" for i, label in enumerate(LABELS)]


def test_the_same_share_of_every_class_is_held_out():
    rows = held_out.rows(KEYS, 0.1, LABELS)
    assert np.bincount(LABELS[rows], minlength=4).tolist() == [4, 1, 1, 0]
    assert (np.diff(rows) > 0).all()
    most = held_out.rows(KEYS, 0.99, LABELS)
    assert np.bincount(LABELS[most], minlength=4).tolist() == [39, 9, 1, 0]


def test_which_are_held_out_depends_on_each_name_and_the_share_alone():
    chosen = {KEYS[row] for row in held_out.rows(KEYS, 0.5, LABELS)}
    order = np.random.default_rng(0).permutation(len(KEYS))
    shuffled = [KEYS[row] for row in order]
    rows = held_out.rows(shuffled, 0.5, LABELS[order])
    assert {shuffled[row] for row in rows} == chosen
    # They are no run of neighbours, and those of a smaller share are among them.
    assert len(set(np.diff(held_out.rows(KEYS[:40], 0.5)))) > 1
    assert {KEYS[row] for row in held_out.rows(KEYS, 0.2, LABELS)} <= chosen


def test_what_is_left_and_what_is_held_out_are_the_whole_once():
    images = np.arange(53, dtype=np.uint8).reshape(53, 1, 1, 1)
    part = arrays.split("train", images, LABELS)
    train, test, line = held_out.take(part, 0.1, labels=LABELS)
    assert (train.num_examples, test.num_examples) == (47, 6)
    assert line.startswith("6 of 53 training examples are held out as the test split")
    found = []
    for split in (train, test):
        items = list(pickle.loads(pickle.dumps(split.read(0, split.num_examples))))
        found += items
        some = list(split.read(2, 5))
        assert [item.key for item in some] == [item.key for item in items[2:5]]
        assert list(split.read(3, 3)) == []
    assert sorted(int(item.image[0, 0, 0]) for item in found) == list(range(53))
    assert all(LABELS[int(item.image[0, 0, 0])] == item.label for item in found)


def test_a_source_without_two_of_any_class_is_refused():
    for labels in ([0, 1, 2], []):
        with pytest.raises(errors.UserError, match="no class has two examples"):
            held_out.rows([str(label) for label in labels], 0.5, labels)
