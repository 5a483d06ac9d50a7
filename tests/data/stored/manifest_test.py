"""A manifest: read as it was written, known by its digest, or refused in one line."""

import dataclasses
import hashlib
import json
import shlex

import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.stored import manifest, verify
from tests.data.stored import edited
from tests.data.stored.edited import edit, make_source, refusal

original = edited.original
folder = edited.folder


def test_what_is_read_is_what_was_written(tmp_path):
    written = shards.write(make_source(), str(tmp_path / "set"), num_shards=3)
    read = manifest.read(str(tmp_path / "set"))
    assert read == written
    assert read.to_json() == (tmp_path / "set" / "manifest.json").read_text()
    assert (read.num_examples("train"), read.num_examples("test")) == (40, 13)
    found = verify.check(str(tmp_path / "set"), read)
    assert {
        split: sum(map(len, part)) - len(part) for split, part in found.items()
    } == {
        "train": 40,
        "test": 13,
    }


def test_digest_is_the_sha256_of_canonical_json(original):
    read = manifest.read(original)
    data = json.loads((original / "manifest.json").read_text())
    # As schema 2 had them, so that data prepared again are known as the same.
    del data["decisions"], data["digest"]
    data["schema_version"] = 2
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    assert read.digest() == hashlib.sha256(canonical).hexdigest()
    other = dataclasses.replace(read, classes=("ant", "bee", "dog"))
    assert other.digest() != read.digest()


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(
        errors.UserError, match=r"No data set at .*nowhere.*prepare one"
    ):
        manifest.read(tmp_path / "nowhere")


def test_the_command_that_prepares_a_set_is_quoted(tmp_path):
    with pytest.raises(errors.UserError) as raised:
        manifest.read(tmp_path / "a $set")
    command = str(raised.value).split("`")[1]
    assert shlex.split(command)[-1] == f"--output={tmp_path / 'a $set'}"


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"it has no manifest\.json: prepare"):
        manifest.read(tmp_path)


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="prepare one"):
        manifest.read(tmp_path / "file")


def test_an_unreadable_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(errors.UserError, match=r"Cannot use .*manifest\.json"):
        manifest.read(tmp_path)


def test_an_unknown_file_system_is_refused():
    with pytest.raises(
        errors.UserError, match=r"`data\.dir` is nosuch://.*'nosuch'.*gs://.*ram://"
    ):
        manifest.read("nosuch://bucket/set")


@pytest.mark.parametrize("text", ["", "{", "\0", "[" * 100_000, '{"a": 1} x'])
def test_a_manifest_that_is_not_json_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    assert "manifest.json is not JSON" in refusal(folder)


def test_a_manifest_that_breaks_the_schema_is_refused(folder):
    edit(folder, lambda data: data.pop("classes") and data)
    assert "manifest.json lacks the key `classes`" in refusal(folder)
    edit(folder, lambda data: [data])
    assert "manifest.json is no JSON object" in refusal(folder)


def to_schema_1(folder):
    for path in folder.glob("*.index"):
        path.unlink()

    def change(data):
        data["schema_version"] = 1
        del data["image_encoding"], data["label_noise"]
        del data["decisions"], data["digest"]
        for part in data["splits"].values():
            for shard in part:
                del shard["index_crc32"]

    edit(folder, change)


def test_a_set_of_schema_1_is_read_and_keeps_its_digest(folder):
    to_schema_1(folder)
    read = manifest.read(folder)
    assert (read.schema_version, read.image_encoding, read.label_noise) == (
        1,
        "raw",
        None,
    )
    assert read.splits["train"][0].index_crc32 is None
    verify.check(folder, read)
    data = json.loads((folder / "manifest.json").read_text())
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    assert read.digest() == hashlib.sha256(canonical).hexdigest()


def test_how_wrong_labels_are_written_down_changes_no_digest(folder):
    """A set that knew one kind of noise, and the same set prepared again."""
    digests = []
    for more in ({}, {"kind": "excluding", "wrong": 9}, {"kind": "including"}):
        noise = {"rate": 0.4, "seed": 0, **more}
        edit(folder, lambda data, noise=noise: data.update(label_noise=noise))
        digests.append(manifest.read(folder).digest())
    assert digests[0] == digests[1] != digests[2]
