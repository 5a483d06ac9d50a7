"""Labels of every kind that sets have, against what a reader of them would say."""

import tracemalloc

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.sources import label_values, labels


def decide(train, test=None, names=()):
    found = {"train": label_values.Found(), "test": label_values.Found()}
    found["train"].add(np.asarray(train))
    found["test"].add(np.asarray(train if test is None else test))
    return labels.decide("SET", "Column 'y'", found, names)


def hot(classes, width, dtype=np.float32):
    return np.eye(width, dtype=dtype)[classes]


IN_ORDER = "in this order"


@pytest.mark.parametrize(
    "values, names, classes, said",
    [
        ([0, 1, 2, 1], "0 1 2", [0, 1, 2, 1], ""),
        (np.array([[2], [0], [1]], np.uint8), "0 1 2", [2, 0, 1], ""),
        ([0.0, 1.0, 2.0], "0 1 2", [0, 1, 2], ""),
        (
            [3, 1, 2],
            "1 2 3",
            [2, 0, 1],
            f"Labels 1 to 3 are classes 0 to 2, {IN_ORDER}",
        ),
        ([7.0, 40.0], "7 40", [0, 1], f"Labels 7, 40 are classes 0 to 1, {IN_ORDER}"),
        ([0, 1, 4], "0 1 4", [0, 1, 2], "Labels 0, 1, 4 are classes 0 to 2"),
        ([-1, 1, 1], "-1 1", [0, 1, 1], "-1 is a class, too, of 1 example of"),
        ([7, 2_000_000_000], "7 2000000000", [0, 1], "Labels 7, 2000000000 are"),
        (np.array([2**64 - 1, 5], np.uint64), f"5 {2**64 - 1}", [1, 0], "Labels 5, "),
        ([True, False], "False True", [1, 0], "false is class 0, true is class 1"),
        (["dog", "cat"], "cat dog", [1, 0], "Labels 'cat', 'dog' are classes 0 to 1"),
        ([b"dog", b"cat"], "cat dog", [1, 0], "Labels 'cat', 'dog' are"),
        (["10", "9", "1"], "1 9 10", [2, 1, 0], "Labels '1', '9', '10' are"),
        (np.array(["b", "b"], object), "b", [0, 0], "Label 'b' is class 0"),
        (hot([2, 0, 1], 3), "0 1 2", [2, 0, 1], "one-hot, of 3 classes"),
        (hot([1, 0], 2, bool), "0 1", [1, 0], "one-hot, of 2 classes"),
        (hot([1, 2], 3, int), "0 1 2", [1, 2], "Class '0' has no examples of train"),
        ([[[1]], [[0]]], "0 1", [1, 0], ""),
    ],
)
def test_labels_become_classes_and_what_was_done_is_said(values, names, classes, said):
    found = decide(values)
    assert found.names == tuple(names.split())
    assert found.of(np.asarray(values)) == classes
    assert said in " ".join(found.decisions)
    assert bool(found.decisions) == bool(said)


@pytest.mark.parametrize(
    "values, reason",
    [
        (
            [0.5, 1.0, 2.5],
            r"2 of 3 labels of train are no whole number \(such as 0.5\)",
        ),
        ([0.0, np.nan], r"1 of 2 labels of train are no number \(such as nan\)"),
        ([0.0, np.inf], r"no number \(such as inf\)"),
        (np.array([None, 1], object), "1 of 2 labels of train are null"),
        (["", "a"], "1 of 2 labels of train are an empty text"),
        ([[1, 1, 0], [0, 0, 1]], r"of several classes at once \(such as 1 1 0\); this"),
        ([[0, 0], [0, 1]], "1 of 2 labels of train are of no class"),
        ([[0.3, 0.7], [0, 1]], r"shares of classes \(such as 0.3 0.7\)"),
        ([[np.nan, 1.0], [0, 1]], "shares of classes"),
        (np.zeros((2, 3, 3)), r"of shape \(3, 3\)"),
        (np.zeros(2, complex), r"neither a number nor a text \(such as complex128\)"),
        (np.array(["2020-01-01"], "M8[D]"), "neither a number nor a text"),
    ],
)
def test_what_is_no_label_of_one_class_is_refused_by_its_name(values, reason):
    with pytest.raises(errors.UserError, match=reason) as raised:
        decide(values, [0])
    text = str(raised.value)
    assert text.startswith("Column 'y' of SET: ") and "\n" not in text


def test_all_faults_of_all_splits_stand_in_one_line():
    with pytest.raises(errors.UserError) as raised:
        decide([0.5, np.nan, 1], [0.25])
    for part in (
        "1 of 3 labels of train are no whole",
        "1 of 3 labels of train are no",
        "1 of 1 labels of test are no whole number",
    ):
        assert part in str(raised.value)


def test_a_label_that_training_lacks_is_named():
    with pytest.raises(errors.UserError, match=r"3 occurs in test \(2 of 3 examples\)"):
        decide([0, 1, 2], [3, 3, 1])
    with pytest.raises(errors.UserError, match=r"'cow' occurs in test"):
        decide(["ant", "bee"], ["cow"])


@pytest.mark.parametrize("kind", ["whole", "text"])
def test_names_of_the_source_win_and_a_class_without_examples_is_one(kind):
    names = ("cow", "ant", "bee")
    values = {"whole": [0, 2], "text": ["cow", "bee"]}[kind]
    found = decide(values, names=names)
    assert (found.names, found.of(values)) == (names, [0, 2])
    assert found.decisions == ("Class 'ant' has no examples of train.",)
    other = {"whole": [0, 3], "text": ["cow", "elk"]}[kind]
    with pytest.raises(errors.UserError, match=r"test has label ('elk'|3) \(1 of 2"):
        decide(values, other, names)


def test_one_hot_of_two_widths_and_mixed_kinds_are_refused():
    with pytest.raises(errors.UserError, match="one-hot of 2 and 3 classes"):
        decide(hot([0, 1], 2), hot([0, 1], 3))
    for mixed in ((["a", "b"], [0, 1]), (np.array(["a", 1], object), None)):
        with pytest.raises(errors.UserError, match=r"different kinds \(text, whole\)"):
            decide(*mixed)


def test_huge_labels_cost_no_memory():
    values = np.array([7, 2_000_000_000] * 6)
    tracemalloc.start()
    assert len(decide(values).names) == 2
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
