import copy

import pytest

from sam_pod import errors
from sam_pod.data.stored import schema


def make_shard(name):
    return {
        "file": name,
        "num_examples": 2,
        "num_bytes": 300,
        "crc32": 7,
        "index_crc32": 8,
    }


GOOD = {
    "schema_version": 3,
    "name": "little",
    "classes": ["ant", "bee"],
    "image_encoding": "raw",
    "image_shape": [7, 5, 3],
    "label_noise": None,
    "mean": [0.5, 0, 1.0],
    "std": [0.5, 0.25, 0.0],
    "source": {"kind": "made", "sha256": "0" * 64},
    "decisions": ["test is the split 'val'"],
    "splits": {
        "train": [make_shard("a"), make_shard("b")],
        "test": [make_shard("c"), {**make_shard("d"), "num_examples": 0}],
    },
}
GOOD["digest"] = schema.sha256(GOOD)


def signed(data):
    """Return the data with the digest that they have."""
    rest = {key: value for key, value in data.items() if key != "digest"}
    return {**rest, "digest": schema.sha256(rest)}


def refusal(change):
    """Return the one line with which the changed manifest is refused."""
    data = copy.deepcopy(GOOD)
    change(data)
    with pytest.raises(errors.UserError) as raised:
        schema.check(data, "set/manifest.json")
    assert "\n" not in str(raised.value)
    assert "set/manifest.json" in str(raised.value)
    assert "prepare it again" in str(raised.value)
    return str(raised.value)


def test_a_good_manifest_is_returned_without_what_is_unknown():
    data = copy.deepcopy(GOOD)
    data["comment"] = data["splits"]["train"][0]["comment"] = "by hand"
    data = signed(data)
    assert schema.check(data, "path") == {**GOOD, "digest": data["digest"]}


def test_schema_1_is_known_without_what_came_later():
    old = copy.deepcopy(GOOD)
    old["schema_version"] = 1
    del old["image_encoding"], old["label_noise"], old["decisions"], old["digest"]
    for part in old["splits"].values():
        for shard in part:
            del shard["index_crc32"]
    data = copy.deepcopy(old)
    data["label_noise"] = "something that this version did not know"
    assert schema.check(data, "path") == old


def test_schema_2_is_known_without_what_came_later():
    old = copy.deepcopy(GOOD)
    old["schema_version"] = 2
    del old["decisions"], old["digest"]
    assert schema.check(copy.deepcopy(old), "path") == old


def test_a_validation_split_may_be_there_since_schema_3():
    data = copy.deepcopy(GOOD)
    data["splits"]["validation"] = [make_shard("v")]
    assert schema.check(signed(data), "path")["splits"] == data["splits"]
    old = {**copy.deepcopy(data), "schema_version": 2}
    assert set(schema.check(old, "path")["splits"]) == {"train", "test"}


def test_a_manifest_that_was_edited_is_refused():
    text = refusal(lambda data: data.update(classes=["ant", "bug"]))
    assert "is not as it was written" in text


@pytest.mark.parametrize("channels", [1, 3])
def test_encoded_images_have_no_size(channels):
    data = copy.deepcopy(GOOD)
    data |= {"image_encoding": "encoded", "image_shape": [0, 0, channels]}
    data |= {"mean": [0.5] * channels, "std": [0.5] * channels}
    data = signed(data)
    assert schema.check(data, "path") == data


@pytest.mark.parametrize("shape", [[7, 5, 3], [0, 5, 3], [0, 0, 4]])
def test_encoded_images_with_a_size_are_refused(shape):
    change = {"image_encoding": "encoded", "image_shape": shape}
    assert "it must be [0, 0, 1] or [0, 0, 3]" in refusal(lambda d: d.update(change))


@pytest.mark.parametrize("data", [[], None, 1, "x", [GOOD]])
def test_other_json_than_an_object_is_refused(data):
    with pytest.raises(errors.UserError, match="path is no JSON object"):
        schema.check(data, "path")


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key_is_named(key):
    assert f"lacks the key `{key}`" in refusal(lambda data: data.pop(key))


@pytest.mark.parametrize("key", make_shard("a"))
def test_a_missing_key_of_a_shard_is_named(key):
    text = refusal(lambda data: data["splits"]["test"][1].pop(key))
    assert f"`splits.test[1]` in set/manifest.json lacks the key `{key}`" in text


@pytest.mark.parametrize(
    "section, key",
    [("splits", "train"), ("splits", "test"), ("source", "kind"), ("source", "sha256")],
)
def test_a_missing_key_of_a_section_is_named(section, key):
    text = refusal(lambda data: data[section].pop(key))
    assert f"`{section}` in set/manifest.json lacks the key `{key}`" in text


@pytest.mark.parametrize(
    "key, value",
    [
        ("schema_version", 4),
        ("schema_version", 0),
        ("schema_version", True),
        ("schema_version", "1"),
        ("name", 3),
        ("name", ""),
        ("classes", "ant"),
        ("classes", []),
        ("classes", ["ant", "ant"]),
        ("classes", ["ant", 1]),
        ("classes", ["ant", ["bee"]]),
        ("image_shape", [7, 5]),
        ("image_shape", [7, 5, 0]),
        ("image_shape", [7, 5, 3.0]),
        ("image_shape", [True, 5, 3]),
        ("image_shape", [0, 0, 3]),
        ("image_encoding", "jpeg"),
        ("image_encoding", ["raw"]),
        ("label_noise", 0.4),
        ("label_noise", {"rate": 0.4}),
        ("label_noise", {"rate": 0, "seed": 0}),
        ("label_noise", {"rate": 1.1, "seed": 0}),
        ("label_noise", {"rate": 0.4, "seed": -1}),
        ("label_noise", {"rate": 0.4, "seed": 0, "kind": "symmetric"}),
        ("label_noise", {"rate": 0.4, "seed": 0, "kind": "including", "wrong": -1}),
        ("label_noise", {"rate": 0.4, "seed": 0, "other": 1}),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, None]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("std", [0.5, 0.5, 10**400]),
        ("std", [0.5, 0.5, float("-inf")]),
        ("std", [0.5, 0.5, True]),
        ("std", {"r": 1}),
        ("source", "made"),
        ("splits", []),
    ],
)
def test_a_wrong_value_is_named(key, value):
    text = refusal(lambda data: data.update({key: value}))
    assert f"`{key}` in set/manifest.json " in text


@pytest.mark.parametrize(
    "key, value",
    [
        ("file", "../escape"),
        ("file", "/etc/passwd"),
        ("file", ""),
        ("file", ".."),
        ("file", 3),
        ("num_examples", -1),
        ("num_examples", 1.5),
        ("num_bytes", "many"),
        ("crc32", True),
        ("index_crc32", None),
    ],
)
def test_a_wrong_value_of_a_shard_is_named(key, value):
    text = refusal(lambda data: data["splits"]["train"][1].update({key: value}))
    assert f"`{key}` in `splits.train[1]` in set/manifest.json is {value!r};" in text


@pytest.mark.parametrize("shards", [{}, "a", 1])
def test_splits_that_are_no_lists_are_refused(shards):
    text = refusal(lambda data: data["splits"].update(test=shards))
    assert "`test` in `splits` in set/manifest.json is" in text
    assert "a list of shards" in text


def test_a_shard_that_is_no_object_is_refused():
    text = refusal(lambda data: data["splits"]["test"].append("e"))
    assert "`splits.test[2]` in set/manifest.json is no JSON object" in text


@pytest.mark.parametrize("shards", [[], [{**make_shard("c"), "num_examples": 0}]])
def test_a_split_without_examples_is_refused(shards):
    text = refusal(lambda data: data["splits"].update(test=shards))
    assert "`splits.test` in set/manifest.json has no examples" in text


def test_a_shard_in_two_splits_is_refused():
    text = refusal(lambda data: data["splits"]["test"].append(make_shard("a")))
    assert "names a file twice" in text
