"""Data sets as they are published: every archive, folder and spelling of each."""

import io
import os
import pickle

import numpy as np
import pytest
import scipy.io

from sam_pod import errors
from sam_pod.data.sources import pickled, split_names, table
from tests.data import made
from tests.data.sources import idx_test

IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), np.uint8)
LABELS = np.arange(15) % 10
NAMES = {
    "cifar10": [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    "cifar100": ["apple", "aquarium_fish", "baby", "bear", "beaver"]
    + [f"class_{i}" for i in range(5, 100)],
}


def read(name, path, **wish):
    request = table.Request(
        source=str(path), output=str(path) + " out", splits=split_names.Wish(**wish)
    )
    return table.read(name, request)


def rows(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(-1, 3072)


def matlab(values):
    file = io.BytesIO()
    scipy.io.savemat(file, values)
    return file.getvalue()


def cell(names):
    array = np.empty((len(names), 1), object)
    array[:, 0] = names
    return array


def cifar(name, version, protocol=2):
    """Return the files of a set: two images a batch of CIFAR-10, all of CIFAR-100."""
    ten = name == "cifar10"
    folder = {
        "binary": "cifar-10-batches-bin" if ten else "cifar-100-binary",
        "python": "cifar-10-batches-py" if ten else "cifar-100-python",
        "matlab": "cifar-10-batches-mat" if ten else "cifar-100-matlab",
    }[version]
    parts = {f"data_batch_{i}": slice(2 * i - 2, 2 * i) for i in range(1, 6)}
    parts |= {"test_batch": slice(10, 15)}
    if not ten:
        parts = {"train": slice(0, 10), "test": slice(10, 15)}
    key, names = (
        ("labels", "label_names") if ten else ("fine_labels", "fine_label_names")
    )
    files = {}
    for part, where in parts.items():
        images, labels = rows(IMAGES[where]), LABELS[where].tolist()
        if version == "binary":
            lead = b"" if ten else b"\7"
            files[f"{part}.bin"] = b"".join(
                lead + bytes([y]) + x.tobytes()
                for x, y in zip(images, labels, strict=True)
            )
        elif version == "python":
            values = {b"data": images, key.encode(): labels, b"batch_label": b"of"}
            files[part] = pickle.dumps(values, protocol)
        else:
            column = np.array(labels, np.uint8)[:, None]
            files[f"{part}.mat"] = matlab({"data": images, key: column})
    meta = "batches.meta" if ten else "meta"
    if version == "binary":
        text = "\n".join(NAMES[name]).encode()
        files["batches.meta.txt" if ten else "fine_label_names.txt"] = text
    elif version == "python":
        files[meta] = pickle.dumps({names: NAMES[name]}, protocol)
    else:
        files[f"{meta}.mat"] = matlab({names: cell(NAMES[name])})
    return {f"{folder}/{file}": content for file, content in files.items()}


def unpack(root, members):
    for name, content in members.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def check(source, name):
    assert (source.name, source.classes) == (name, tuple(NAMES[name]))
    found = made.items(source, "train") + made.items(source, "test")
    assert [item.label for item in found] == LABELS.tolist()
    np.testing.assert_array_equal([item.image for item in found], IMAGES)
    assert source.splits["test"].num_examples == 5
    assert any("10 + 5 images, not the 50,000 + 10,000" in s for s in source.decisions)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", ["binary", "python", "matlab"])
def test_cifar_is_read_from_each_of_its_versions(tmp_path, name, version):
    members = cifar(name, version)
    root = unpack(tmp_path / "unpacked", members)
    check(read(name, root), name)
    check(read(name, next(root.iterdir())), name)
    if version != "binary":  # Whose archive is known by its checksum.
        archive = tmp_path / f"{next(iter(members)).split('/')[0]}.tar.gz"
        archive.write_bytes(made.tar(members, "w:gz"))
        check(read(name, archive), name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_is_read(tmp_path, protocol):
    check(
        read("cifar10", unpack(tmp_path / "a", cifar("cifar10", "python", protocol))),
        "cifar10",
    )


class Evil:
    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_asks_for_code_is_refused_and_not_run(tmp_path):
    evil = Evil()
    Evil.path = str(tmp_path / "made")
    files = cifar("cifar10", "python") | {
        "cifar-10-batches-py/data_batch_3": pickle.dumps({b"data": evil})
    }
    with pytest.raises(errors.UserError, match=r"asks for posix\.mkdir") as raised:
        read("cifar10", unpack(tmp_path / "a", files))
    assert "data_batch_3 in" in str(raised.value)
    assert not os.path.exists(Evil.path)
    for value in (np.array(["text"]), np.array([{}]), print, Evil):
        with pytest.raises(Exception, match=r"has an array of|asks for"):
            pickled.load(pickle.dumps(value))


def test_a_version_that_is_not_whole_is_named(tmp_path):
    files = cifar("cifar10", "python")
    del (
        files["cifar-10-batches-py/data_batch_2"],
        files["cifar-10-batches-py/test_batch"],
    )
    with pytest.raises(errors.UserError, match="lacks data_batch_2, test_batch"):
        read("cifar10", unpack(tmp_path / "a", files))
    both = cifar("cifar10", "python") | cifar("cifar10", "matlab")
    with pytest.raises(errors.UserError, match="cifar-10-python and cifar-10-matlab"):
        read("cifar10", unpack(tmp_path / "b", both))
    wrong = pickle.dumps({"data": rows(IMAGES[:2]), "labels": [1, 10]})
    files = cifar("cifar10", "python") | {"cifar-10-batches-py/test_batch": wrong}
    with pytest.raises(errors.UserError, match="labels from 1 to 10; they must be"):
        read("cifar10", unpack(tmp_path / "c", files))
    short = pickle.dumps({"data": rows(IMAGES[:2])[:, :-1], "labels": [1, 1]})
    files = cifar("cifar10", "python") | {"cifar-10-batches-py/test_batch": short}
    with pytest.raises(errors.UserError, match=r"uint8 \(2, 3071\) and 2 labels"):
        read("cifar10", unpack(tmp_path / "d", files))


def mnist_files(dots, packed, prefix="", first=0):
    files = {}
    for part, images in (("train", idx_test.TRAIN), ("t10k", idx_test.TEST)):
        labels = np.arange(len(images), dtype=np.uint8) % 10 + first
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{prefix}{part}-{kind}-ubyte"
            name = name.replace("-idx", ".idx") if dots else name
            files[name + ".gz" * packed] = made.idx(array, packed=packed)
    return files


PLACES = {
    "plain": lambda name: name,
    "inside": lambda name: f"MNIST/raw/{name}",
    "in folders of that name": lambda name: f"{name}/{name}",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dots", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_by_either_spelling_wherever_it_lies(
    tmp_path, place, dots, packed
):
    files = {PLACES[place](n): c for n, c in mnist_files(dots, packed).items()}
    root = unpack(tmp_path / "a", files)
    for name in mnist_files(False, False):  # Folders called as files hinder none.
        if place == "plain" and (dots or packed):
            (root / name).mkdir()
    for name in ("mnist", "kmnist"):
        source = read(name, root)
        assert source.name == name and source.decisions == ()
        found = made.items(source, "train")
        np.testing.assert_array_equal(
            [item.image[..., 0] for item in found], idx_test.TRAIN
        )
        assert [item.label for item in made.items(source, "test")] == list(range(5))


def test_of_two_files_for_one_the_line_says_which_is_read(tmp_path):
    root = unpack(tmp_path / "a", mnist_files(False, True) | mnist_files(True, False))
    decisions = read("mnist", root).decisions
    assert len(decisions) == 4 and all("is read, and" in line for line in decisions)


def test_emnist_is_turned_upright_and_its_letters_are_named(tmp_path):
    files = mnist_files(False, True, "emnist-letters-", first=1)
    root = unpack(tmp_path / "gzip", files)
    source = read("emnist", root)
    assert source.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    found = made.items(source, "train")
    assert [item.label for item in found] == [i % 10 for i in range(12)]
    upright = idx_test.TRAIN.transpose(0, 2, 1)
    np.testing.assert_array_equal([item.image[..., 0] for item in found], upright)
    assert any("turned upright" in line for line in source.decisions)
    with pytest.raises(errors.UserError, match="pass --dataset=emnist"):
        read("mnist", root)
    unpack(root, mnist_files(False, True, "emnist-digits-"))
    with pytest.raises(errors.UserError, match=r"several sets .emnist-digits, emn"):
        read("emnist", root)
    (root / "emnist-digits-mapping.txt").write_text(
        "\n".join(f"{i} {ord('0') + i}" for i in range(10))
    )
    assert read("emnist", root / "emnist-digits").classes == tuple("0123456789")


def test_a_share_of_training_serves_where_there_is_no_test(tmp_path):
    files = {n: c for n, c in mnist_files(False, True).items() if "train" in n}
    root = unpack(tmp_path / "a", files)
    with pytest.raises(errors.UserError, match="lacks t10k-images"):
        read("mnist", root)
    source = read("mnist", root, test_share=0.5)
    sizes = {name: part.num_examples for name, part in source.splits.items()}
    assert sizes == {"train": 10, "test": 2}


def test_svhn_says_that_its_extra_part_is_left_out_unless_it_is_chosen(tmp_path):
    for number, name in enumerate(("train", "test", "extra")):
        made.mat(tmp_path / f"{name}_32x32.mat", IMAGES[number:], LABELS[number:])
    source = read("svhn", tmp_path)
    assert source.decisions == ("'extra' is left out.",)
    assert source.splits["train"].num_examples == 15
    source = read("svhn", tmp_path, train="extra", validation="train")
    sizes = {name: part.num_examples for name, part in source.splits.items()}
    assert sizes == {"train": 13, "test": 14, "validation": 15}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.tar.gz").write_bytes(b"x")
    with pytest.raises(errors.UserError, match="format 1"):
        read("svhn", tmp_path / "b")
