"""A prepared data set in a bucket, for which TensorFlow's ram:// stands in."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline
from sam_pod.data.stored import framing, manifest, verify
from sam_pod.storage import files
from tests import fixtures


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket") / "original"
    fixtures.write_data(folder, train=40, test=13)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def refusal(name):
    """Return the one line with which the data set is refused."""
    with pytest.raises(errors.UserError) as raised:
        verify.check(name, manifest.read(name))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def bucket(folder, request):
    """Return the folder's copy in the file system that stands in for a bucket."""
    name = f"ram://{request.node.name}/set"

    def copy():
        for path in folder.iterdir():
            tf.io.gfile.copy(str(path), f"{name}/{path.name}", overwrite=True)
        return name

    yield copy
    files.remove_folder(name)


def test_a_bucket_is_read_to_its_examples(folder, bucket):
    name = bucket()
    read = manifest.read(name)
    assert read == manifest.read(folder)
    assert verify.check(name, read)
    batches = []
    for directory in (name, str(folder)):
        split = pipeline.splits(directory, read, 8)["train"]
        context = tf.distribute.InputContext(1, 0, 1)
        input_fn = pipeline.training(split, global_batch_size=16, seed=3, start_step=1)
        batches.append(next(iter(input_fn(context))).tensors)
    for theirs, ours in zip(*batches, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_faults_in_a_bucket_are_named(folder, bucket):
    path = min(folder.glob("train-*.tfrecord"))
    start = framing.scan(str(path)).starts[2]
    content = bytearray(path.read_bytes())
    content[start + 20] ^= 1
    path.write_bytes(content)
    name = bucket()
    assert f"{name}/{path.name} is corrupt at byte {start}:" in refusal(name)
    tf.io.gfile.remove(f"{name}/{path.name}")
    assert f"{name}/{path.name} is missing" in refusal(name)
    tf.io.gfile.remove(f"{name}/manifest.json")
    assert "it has no manifest.json" in refusal(name)


def test_each_byte_is_read_once(original, monkeypatch):
    """What a bucket sends is paid for by time."""
    read, blocks = [], files.blocks

    def counted(path):
        for block in blocks(path):
            read.append(len(block))
            yield block

    monkeypatch.setattr(files, "blocks", counted)
    verify.check(original, manifest.read(original))
    assert sum(read) == sum(p.stat().st_size for p in original.glob("*.tfrecord"))


@pytest.mark.parametrize(
    ("error", "shown", "words"),
    [
        (tf.errors.UnavailableError, tf.errors.UnavailableError, "503"),
        (tf.errors.PermissionDeniedError, errors.UserError, "right to read"),
    ],
)
def test_a_service_that_does_not_answer_is_not_the_users(
    original, monkeypatch, error, shown, words
):
    def refuse(path):
        raise error(None, None, "HTTP response code 503 with body '{\n  no }'")

    monkeypatch.setattr(files, "blocks", refuse)
    with pytest.raises(shown, match=words) as raised:
        verify.check(original, manifest.read(original))
    assert ("\n" in str(raised.value)) == (shown is not errors.UserError)
