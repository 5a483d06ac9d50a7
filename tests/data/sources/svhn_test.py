import numpy as np
import pytest
import scipy.io

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import svhn
from sam_pod.data.stored import verify
from tests.data import made

IMAGES = {
    "train": np.random.default_rng(0).integers(0, 256, (25, 32, 32, 3), np.uint8),
    "test": np.random.default_rng(1).integers(0, 256, (11, 32, 32, 3), np.uint8),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source").mkdir()
    for split, images in IMAGES.items():
        labels = np.arange(len(images)) * 3 % 10
        made.mat(tmp_path / "source" / f"{split}_32x32.mat", images, labels)
    return tmp_path / "source"


def test_examples_come_first_and_ten_is_zero(tmp_path, folder):
    source = svhn.read(str(folder))
    assert source.classes == tuple("0123456789")
    for split, images in IMAGES.items():
        found = made.items(source, split)
        np.testing.assert_array_equal([item.image for item in found], images)
        labels = [item.label for item in found]
        assert labels == [i * 3 % 10 for i in range(len(images))]
    made.check_random_access(source)
    written = shards.write(source, str(tmp_path / "set"))
    verify.check(tmp_path / "set", written)


@pytest.mark.parametrize(
    "content, reason",
    [
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "lacks the variable y"),
        ({"y": np.ones((2, 1))}, "lacks the variable X"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones(3)}, "and 3 labels"),
        ({"X": np.zeros((32, 32, 3, 2)), "y": np.ones(2)}, "has X of float64"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[0, 1]]}, "from 0 to 1"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[1, 11]]}, "from 1 to 11"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_named(folder, content, reason):
    scipy.io.savemat(folder / "test_32x32.mat", content)
    with pytest.raises(errors.UserError, match=reason) as raised:
        svhn.read(str(folder))
    assert str(folder / "test_32x32.mat") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_or_broken_file_is_named(folder):
    path = folder / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(errors.UserError, match=f"Cannot read {path}"):
        svhn.read(str(folder))
    path.unlink()
    with pytest.raises(errors.UserError, match=f"Cannot read {path}"):
        svhn.read(str(folder))
