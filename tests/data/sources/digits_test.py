import numpy as np
from sklearn import datasets

from sam_pod.data.prepare import shards
from sam_pod.data.sources import digits
from sam_pod.data.stored import verify


def test_the_images_are_those_of_scikit_learn_in_their_order():
    bunch = datasets.load_digits()
    source = digits.read()
    train = list(source.splits["train"].read(0, 1347))
    test = list(source.splits["test"].read(0, 450))
    assert (len(train), len(test)) == (1347, 450)
    for split in ("train", "test"):
        assert source.splits[split].num_examples == {"train": 1347, "test": 450}[split]
    images = np.stack([item.image for item in train + test])
    assert (images.shape, images.dtype) == ((1797, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal([item.label for item in train + test], bunch.target)
    # 16 levels, each at most half a step from where it belongs.
    np.testing.assert_allclose(images[..., 0], bunch.images * 255 / 16, atol=0.5)
    assert sorted(set(images.ravel())) == [
        0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255,
    ]  # fmt: skip


def test_the_digits_can_be_prepared(tmp_path):
    source = digits.read()
    written = shards.write(source, str(tmp_path / "set"))
    verify.check(tmp_path / "set", written)
    assert (written.name, written.image_shape) == ("digits", (8, 8, 1))
    assert written.classes == tuple("0123456789")
    assert source.sha256 == digits.read().sha256
    assert len(source.sha256) == 64
