import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import idx
from sam_pod.data.stored import verify
from tests.data import made

TRAIN = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
TEST = np.random.default_rng(1).integers(0, 256, (5, 28, 28), np.uint8)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "source")


def write(folder, packed=True):
    folder.mkdir()
    for prefix, images in (("train", TRAIN), ("t10k", TEST)):
        labels = np.arange(len(images), dtype=np.uint8) % 10
        end = ".gz" if packed else ""
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{prefix}-{name}-ubyte{end}"
            path.write_bytes(made.idx(array, packed=packed))
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_are_those_of_the_files(tmp_path, name, packed):
    source = idx.read(name, str(write(tmp_path / "source", packed)))
    assert (source.name, source.channels, len(source.classes)) == (name, 1, 10)
    for split, images in (("train", TRAIN), ("test", TEST)):
        found = made.items(source, split)
        np.testing.assert_array_equal([i.image[..., 0] for i in found], images)
        assert [i.label for i in found] == [i % 10 for i in range(len(images))]
    made.check_random_access(source)
    written = shards.write(source, str(tmp_path / "set"))
    verify.check(tmp_path / "set", written)
    assert written.image_shape == (28, 28, 1)


def test_the_classes_of_fashion_are_named():
    assert idx.CLASSES["fashion_mnist"][9] == "Ankle boot"


def refusal(folder):
    with pytest.raises(errors.UserError) as raised:
        idx.read("mnist", str(folder))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_missing_file_is_named(folder, name):
    (folder / f"{name}.gz").unlink()
    assert f"lacks {name}.gz" in refusal(folder)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "is no IDX file"),
        (made.idx(TRAIN, packed=False)[:-1], "is no IDX file of bytes with 3 axes"),
        (made.idx(TRAIN, packed=False)[:6], "is no IDX file of bytes with 3 axes"),
        (made.idx(TRAIN[0], packed=False), "is no IDX file of bytes with 3 axes"),
        (made.idx(TRAIN[:0], packed=False), "holds nothing"),
        (made.idx(TRAIN[:3], packed=False), "has 3 images, but .* 12 labels"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_named(folder, content, reason):
    path = folder / "train-images-idx3-ubyte"
    path.with_suffix(".gz").unlink()
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=reason) as raised:
        idx.read("mnist", str(folder))
    assert str(path) in str(raised.value)


def test_a_file_that_is_cut_short_is_named(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert f"Cannot read {path}" in refusal(folder)


def test_a_label_above_nine_is_named(folder):
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(made.idx(np.array([1, 2, 10, 3, 4], np.uint8)))
    assert f"{path} has the label 10" in refusal(folder)
