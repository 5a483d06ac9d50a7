"""Examples that do not fit what the manifest says are named by their place."""

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.stored import fitting, manifest, verify
from sam_pod.storage import objects
from tests.data.stored import edited
from tests.data.stored.edited import (
    IMAGE,
    adopt,
    edit,
    example,
    first_shard,
    index,
    refusal,
    rewrite,
)

original = edited.original
folder = edited.folder


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
