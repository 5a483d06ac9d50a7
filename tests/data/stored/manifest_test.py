import dataclasses
import hashlib
import json
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import arrays
from sam_pod.data.stored import (
    fitting,
    framing,
    manifest,
    offsets,
    records,
    schema,
    verify,
)
from sam_pod.storage import objects

SHAPE = (7, 5, 3)
CLASSES = ("ant", "bee", "cow")


def make_source(num_train=40, num_test=13):
    def split(name, size, seed):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (size, *SHAPE), np.uint8)
        return arrays.split(name, images, np.arange(size) % len(CLASSES))

    return records.Source(
        name="little",
        classes=CLASSES,
        kind="made",
        place="nowhere",
        fingerprint="",
        splits={
            "train": split("train", num_train, 1),
            "test": split("test", num_test, 2),
        },
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest") / "original"
    shards.write(make_source(), str(folder), num_shards=3)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def edit(folder, change):
    """Apply `change` to the JSON of the manifest, and its digest with it."""
    path = folder / manifest.FILE_NAME
    data = json.loads(path.read_text())
    data = change(data) or data
    if isinstance(data, dict) and data.pop("digest", None):
        data["digest"] = schema.sha256(data)
    path.write_text(json.dumps(data))


def first_shard(folder):
    """Return the path of the first shard and where its records start and end."""
    path = folder / manifest.read(folder).splits["train"][0].file
    ends = [0]
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        ends.append(ends[-1] + len(record) + 16)
    assert ends[-1] == path.stat().st_size
    return path, ends


def refusal(folder):
    """Return the one line with which the data set is refused."""
    with pytest.raises(errors.UserError) as raised:
        verify.check(folder, manifest.read(folder))
    assert "\n" not in str(raised.value)
    return str(raised.value)


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


def test_a_missing_shard_is_named(folder):
    path, _ = first_shard(folder)
    path.unlink()
    assert f"{path} is missing" in refusal(folder)


def test_flipped_bytes_are_found_where_the_record_starts(folder):
    path, ends = first_shard(folder)
    content = path.read_bytes()
    for place in [*range(ends[4], ends[4] + 16), *range(ends[4] + 16, ends[5], 5)]:
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        text = refusal(folder)
        assert f"{path} is corrupt at byte {ends[4]}:" in text, place


def test_truncations_are_found_where_the_record_starts(folder):
    path, ends = first_shard(folder)
    content = path.read_bytes()
    for size in range(ends[-3], ends[-1], 5):
        path.write_bytes(content[:size])
        offset = max(end for end in ends if end <= size)
        text = refusal(folder)
        assert f"{path} is truncated at byte {offset}:" in text, size
        assert f"it has {size} bytes" in text
    path.write_bytes(b"")
    assert f"{path} is truncated at byte 0:" in refusal(folder)


def test_bytes_after_the_last_record_are_found(folder):
    path, ends = first_shard(folder)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert f"{path} is corrupt at byte {ends[-1]}:" in refusal(folder)


def test_a_length_that_points_beyond_the_file_is_found(folder):
    path, ends = first_shard(folder)
    length = (10**13).to_bytes(8, "little")
    header = length + framing.masked_crc32c(length).to_bytes(4, "little")
    content = bytearray(path.read_bytes())
    content[ends[2] : ends[2] + 12] = header
    path.write_bytes(content)
    assert f"{path} is truncated at byte {ends[2]}:" in refusal(folder)
    adopt(folder, path)
    assert f"{path} is truncated at byte {ends[2]}:" in refusal(folder)


def test_another_shard_under_the_name_is_found(folder):
    path, _ = first_shard(folder)
    other = folder / manifest.read(folder).splits["train"][1].file
    shutil.copyfile(other, path)
    assert f"{path} is another file than the one prepared" in refusal(folder)


def test_a_record_count_that_disagrees_is_refused(folder):
    edit(folder, lambda data: data["splits"]["train"][0].update(num_examples=12))
    path, ends = first_shard(folder)
    assert f"{path} holds {len(ends) - 1} examples" in refusal(folder)
    assert "says 12" in refusal(folder)


def adopt(folder, path, num_examples=None):
    """Make the manifest say what `path` is: a set made by hand."""
    content = path.read_bytes()
    said = {"num_bytes": len(content), "crc32": zlib.crc32(content)}
    if num_examples is not None:
        said["num_examples"] = num_examples

    def change(data):
        for part in data["splits"].values():
            for shard in part:
                if shard["file"] == path.name:
                    shard.update(said)

    edit(folder, change)


def index(folder, path):
    """Write the index of a shard made by hand, and enter it in the manifest."""
    scan = framing.scan(str(path))
    checksum = offsets.write(offsets.file_name(str(path)), scan.starts, scan.num_bytes)

    def change(data):
        data["splits"]["train"][0]["index_crc32"] = checksum

    edit(folder, change)


def rewrite(folder, index, record):
    """Replace one record of the first shard; return the shard's path and an offset."""
    path, ends = first_shard(folder)
    contents = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    contents[index] = record
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    adopt(folder, path)
    return path, ends[index]


def example(**features):
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    message = tf.train.Example()
    for name, values in features.items():
        kind = getattr(message.features.feature[name], kinds[type(values[0])])
        kind.value.extend(values)
    return message.SerializeToString()


IMAGE = b"\7" * 105


@pytest.mark.parametrize(
    "record, reason",
    [
        (example(image=[IMAGE], label=[3]), "has label 3; .* from 0 to 2"),
        (example(image=[IMAGE], label=[-1]), "has label -1"),
        (example(image=[IMAGE], label=[2**40]), "has label 1099511627776"),
        (example(image=[IMAGE[1:]], label=[0]), "an image of 104 bytes.*7x5x3, 105"),
        (example(image=[b""], label=[0]), "an image of 0 bytes"),
        (example(image=[IMAGE]), "is no tf.train.Example with"),
        (example(label=[0]), "is no tf.train.Example with"),
        (example(image=[IMAGE], label=[0, 1]), "is no tf.train.Example with"),
        (example(image=[IMAGE], label=[1.0]), "is no tf.train.Example with"),
        (b"\xff" * 200, "is no tf.train.Example with"),
    ],
)
def test_an_example_that_does_not_fit_is_named(folder, record, reason):
    path, offset = rewrite(folder, 6, record)
    with pytest.raises(errors.UserError, match=reason) as raised:
        verify.check(folder, manifest.read(folder))
    assert f"Example 6 of {path}, at byte {offset}, " in str(raised.value)


@pytest.mark.parametrize(("batch", "block"), [(4, 1 << 20), (4, 700), (2048, 300)])
def test_an_example_is_named_across_batches(folder, monkeypatch, batch, block):
    monkeypatch.setattr(fitting, "_BATCH", batch)
    monkeypatch.setattr(objects, "BLOCK_BYTES", block)
    path, offset = rewrite(folder, 6, example(image=[IMAGE], label=[9]))
    assert f"Example 6 of {path}, at byte {offset}, has label 9" in refusal(folder)


def test_a_corrupt_record_is_found_though_the_manifest_has_its_checksum(folder):
    path, ends = first_shard(folder)
    content = bytearray(path.read_bytes())
    content[ends[3] + 50] ^= 1
    path.write_bytes(content)
    adopt(folder, path)
    assert f"{path} is corrupt at byte {ends[3]}, though" in refusal(folder)


def test_a_missing_index_is_named(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    path.unlink()
    assert f"{path} is missing" in refusal(folder)


def test_an_index_that_changed_is_named(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    content = bytearray(path.read_bytes())
    content[9] ^= 1
    path.write_bytes(content)
    assert f"{path} is another file than the one prepared" in refusal(folder)


def test_an_index_of_other_places_is_refused_though_its_checksum_is_right(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    starts = offsets.read(str(path))
    checksum = offsets.write(str(path), starts[:-1][::2], starts[-1])
    edit(
        folder,
        lambda data: data["splits"]["train"][0].update(index_crc32=checksum),
    )
    assert f"{path} says that records of train-00000-of" in refusal(folder)


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


def make_encoded(folder, noise=None):
    """Make the set one of encoded images, which here are no images at all."""

    def change(data):
        data["image_encoding"], data["image_shape"] = "encoded", [0, 0, 3]
        data["label_noise"] = noise

    edit(folder, change)


def test_encoded_images_are_not_decoded_to_verify_them(folder):
    make_encoded(folder)
    verify.check(folder, manifest.read(folder))
    path, offset = rewrite(folder, 6, example(image=[b""], label=[1]))
    index(folder, path)
    text = refusal(folder)
    assert f"Example 6 of {path}, at byte {offset}, has an image of 0 bytes" in text


def test_noisy_labels_need_the_true_one_beside_them(folder):
    make_encoded(folder, {"rate": 0.4, "seed": 0})
    text = refusal(folder)
    assert "(bytes) and 'label' (one int64) and 'true_label' (one int64)" in text
    path, _ = first_shard(folder)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(13):
            writer.write(example(image=[b"x"], label=[1], true_label=[3 * (i == 4)]))
    adopt(folder, path)
    index(folder, path)
    assert f"Example 4 of {path}, " in refusal(folder)
    assert "has true label 3; with 3 classes" in refusal(folder)
