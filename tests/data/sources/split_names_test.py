import pytest

from sam_pod import errors
from sam_pod.data.sources import split_names

MEANINGS = {
    "train": ["train", "Training", "TRN", "train_images", "trainLabels", "Train-Set"],
    "validation": ["val", "VALID", "Validation", "dev", "val2017", "valid_set"],
    "test": ["test", "Testing", "tst", "eval", "test_images", "TestSet"],
    "": ["bullet_train", "extra", "train_test_split", "tests_passed", "pred", "", "7"],
}


@pytest.mark.parametrize(
    "name, expected",
    [(name, meaning) for meaning, names in MEANINGS.items() for name in names],
)
def test_a_usual_name_in_any_case_means_its_split(name, expected):
    assert split_names.role(name) == expected


def test_names_that_differ_by_the_word_of_the_split_alone_mean_it():
    found = split_names.roles(["seg_train", "seg_test", "seg_pred", "bullet_train"])
    assert found == {
        "seg_train": "train",
        "seg_test": "test",
        "seg_pred": "",
        "bullet_train": "",
    }
    assert split_names.roles(["bullet_train", "car"]) == {"bullet_train": "", "car": ""}


@pytest.mark.parametrize(
    "path, group",
    [
        ("train-00000-of-00002.parquet", "train"),
        ("a/validation/0000.parquet", "validation"),
        ("a/Test/part-3.parquet", "Test"),
        ("trainLabels.csv", "trainLabels"),
        ("train/test-1.parquet", "test"),
        ("a/b.parquet", ""),
        ("test.tfrecord-00001-of-00002", "test"),
    ],
)
def test_a_file_is_of_the_group_that_it_or_its_folder_names(path, group):
    assert split_names.group_of_file(path) == group


@pytest.mark.parametrize(
    "name, expected",
    [
        ("x_train", ("train", "images")),
        ("trainX", ("train", "images")),
        ("Y_val", ("validation", "labels")),
        ("test_images", ("test", "images")),
        ("valid_labels", ("validation", "labels")),
        ("train_data", ("train", "images")),
        ("mean", ("", "")),
        ("x_mean", ("", "")),
        ("train", ("", "")),
    ],
)
def test_an_array_says_its_split_and_its_kind(name, expected):
    assert split_names.array(name) == expected


def choose(names, bare=(), **wish):
    groups = {name: name not in bare for name in names.split()}
    return split_names.choose(groups, split_names.Wish(**wish), "DIR")


# What is there, which of it has no labels, the flags; then which is which.
CHOICES = [
    ("train test", "", {}, "train test"),
    ("Training Testing", "", {}, "Training Testing"),
    ("train val", "", {}, "train val"),
    ("train validation test", "", {}, "train test validation"),
    ("train validation test", "test", {}, "train validation"),
    ("train val test", "val", {}, "train test"),
    ("train dev eval extra", "", {}, "train eval dev"),
    ("train val test", "", {"validation": "none"}, "train test"),
    ("train val test", "", {"test": "val"}, "train val"),
    ("train val test", "", {"test": "val", "validation": "test"}, "train val test"),
    ("a b c", "", {"train": "b", "test": "A"}, "b a"),
    ("train", "", {"test_share": 0.1}, "train"),
    ("all", "", {"test_share": 0.1}, "all"),
    ("train val", "", {"test_share": 0.1}, "train _ val"),
    ("train val test", "test", {"test_share": 0.1}, "train _ val"),
    ("train_1 train_2 test", "", {"train": "train_2"}, "train_2 test"),
]


@pytest.mark.parametrize("names, bare, wish, expected", CHOICES)
def test_what_is_there_and_the_flags_say_which_split_is_which(
    names, bare, wish, expected
):
    choice = choose(names, bare.split(), **wish)
    splits = zip(("train", "test", "validation"), expected.split(), strict=False)
    assert choice.names == {split: name for split, name in splits if name != "_"}
    assert choice.test_share == wish.get("test_share", 0)
    for name in names.split():  # Nothing is left out in silence.
        if name not in choice.names.values():
            assert any(f"{name!r} is left out" in line for line in choice.decisions)


def test_what_is_decided_is_said():
    assert choose("train test").decisions == ()
    (line,) = choose("train val").decisions
    assert line == "'val' is the test split: there is no other with labels."
    first, second = choose("train val test", ["test"]).decisions
    assert first == line
    assert second == "'test' is left out: it has no labels."
    (line,) = choose("train val test").decisions
    assert "'val' is stored as validation" in line
    assert "--config.data.validation=split" in line
    assert choose("seg_train seg_test").decisions == (
        "'seg_train' is the split train.",
        "'seg_test' is the split test.",
    )


REFUSALS = [
    ("train", "", {}, "has no split with labels to test on; its splits are 'train'"),
    ("train test", "test", {}, "no split with labels to test on"),
    ("val test", "", {}, "has no split to train on"),
    ("train test", "train", {}, "has no labels for 'train', to train on"),
    ("train training test", "", {}, "'train' and 'training', and each may be the"),
    ("train test eval", "", {}, "'test' and 'eval', and each may be the split test"),
    ("train test", "", {"test": "tset"}, "no split 'tset', which --test_split names"),
    ("train test", "", {"test": "train"}, "would have 'train' as two splits"),
    ("train test", "test", {"test": "test"}, "has no labels for 'test', as test"),
    ("train test val", "val", {"validation": "val"}, "no labels for 'val', as valid"),
    ("val test", "", {"test_share": 0.1}, "has no split to train on"),
    ("train test", "", {"test_share": 1.0}, "`test_share` is 1; it must be"),
    ("train test", "", {"test_share": 0.1, "test": "test"}, "give one of them"),
]


@pytest.mark.parametrize("names, bare, wish, reason", REFUSALS)
def test_what_cannot_be_chosen_gets_a_line_with_the_way_on(names, bare, wish, reason):
    with pytest.raises(errors.UserError) as raised:
        choose(names, bare.split(), **wish)
    text = str(raised.value)
    assert reason in text and "\n" not in text
    if not text.startswith("`test_share`"):
        assert text.startswith("DIR ") and "--test_split" in text
        # What is asked for already is no remedy.
        assert ("--test_share=0.1" in text) == (not {"test", "test_share"} & set(wish))


def test_what_is_said_of_a_share_beside_a_test_is_true():
    line = "'test' as test, .* omit it, or let --validation_split be 'test'"
    with pytest.raises(errors.UserError, match=line):
        choose("train test", test_share=0.5)
    choose("train test")
    choose("train test", test_share=0.5, validation="test")


def test_labels_are_looked_for_only_where_they_matter():
    def never():
        raise AssertionError

    groups = {"train": True, "test": True, "unlabeled": never}
    split_names.choose(groups, split_names.Wish(), "DIR")
