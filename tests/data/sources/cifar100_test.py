import hashlib

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import cifar100
from sam_pod.data.stored import verify
from tests.data import made

NAMES = ["apple", "aquarium_fish", "baby", "bear", "beaver"]
NAMES += [f"class_{i}" for i in range(5, 100)]
IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), np.uint8)


def make(**changes):
    def content(images, first):
        return b"".join(
            bytes([7, first + i]) + image.transpose(2, 0, 1).tobytes()
            for i, image in enumerate(images)
        )

    return {
        "cifar-100-binary/fine_label_names.txt": "\n".join(NAMES).encode(),
        "cifar-100-binary/train.bin": content(IMAGES[:10], 90),
        "cifar-100-binary/test.bin": content(IMAGES[10:], 20),
        "cifar-100-binary/coarse_label_names.txt": b"fish\n",
        **{f"cifar-100-binary/{name}": value for name, value in changes.items()},
    }


def read(path, members):
    path.write_bytes(made.tar(members, "w:gz"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return cifar100.read_archive(str(path), sha256)


def test_the_labels_are_the_fine_ones(tmp_path):
    source = read(tmp_path / "archive", make())
    assert len(source.classes) == 100 and source.classes[3] == "bear"
    train, test = made.items(source, "train"), made.items(source, "test")
    found = [item.image for item in train + test]
    np.testing.assert_array_equal(found, IMAGES)
    assert [item.label for item in train + test] == [*range(90, 100), *range(20, 25)]
    made.check_random_access(source)
    verify.check(tmp_path / "set", shards.write(source, str(tmp_path / "set")))


def test_the_official_checksum_is_the_default(tmp_path):
    (tmp_path / "archive").write_bytes(made.tar(make(), "w:gz"))
    with pytest.raises(errors.UserError, match="must be 58a81ae192c23a4be8b1804d68e51"):
        cifar100.read_archive(str(tmp_path / "archive"))


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"test.bin": b"x" * 3073}, "has 3073 bytes; it must hold records of 3074"),
        ({"test.bin": bytes([0, 100]) + bytes(3072)}, "Record 0 .* has label 100"),
        ({"fine_label_names.txt": b"apple\nbaby"}, "names the 2 classes apple, baby"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(tmp_path, changes, reason):
    with pytest.raises(errors.UserError, match=reason):
        read(tmp_path / "archive", make(**changes))


def test_a_missing_member_is_named(tmp_path):
    members = make()
    del members["cifar-100-binary/train.bin"]
    with pytest.raises(errors.UserError, match=r"lacks cifar-100-binary/train\.bin"):
        read(tmp_path / "archive", members)
