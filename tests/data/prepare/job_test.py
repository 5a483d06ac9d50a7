import functools
import hashlib
import io
import os
import socket
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import job
from sam_pod.data.sources import cifar10, table
from sam_pod.data.stored import manifest, verify
from sam_pod.storage import turns
from tests.data.sources import layouts


def make_images(root, classes):
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 256, (5, 4, 3), np.uint8)
                path = root / split / name / f"{index}.png"
                path.write_bytes(tf.io.encode_png(image).numpy())
    return root


def make_archive(path):
    """Write an archive like the official one, with 2 records a file."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    members = dict.fromkeys(names, (b"\3" + b"\7" * 3072) * 2)
    members["batches.meta.txt"] = "\n".join(cifar10.CLASSES).encode()
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("source", ["", "embedded"])
def test_digits_are_prepared(tmp_path, source):
    written = job.prepare("digits", source, str(tmp_path / "set"), num_shards=3)
    assert (written.name, len(written.splits["train"])) == ("digits", 3)
    verify.check(tmp_path / "set", manifest.read(tmp_path / "set"))


def test_images_of_any_classes_are_prepared(tmp_path):
    tree = make_images(tmp_path / "tree", ["ant", "bee"])
    written = job.prepare("images", str(tree), str(tmp_path / "set"))
    assert (written.name, written.classes) == ("images", ("ant", "bee"))
    assert written.num_examples("train") == 6
    assert written.source["kind"] == "images"


def test_one_class_is_said_to_be_of_no_use(tmp_path):
    tree = make_images(tmp_path / "tree", ["ant"])
    written = job.prepare("images", str(tree), str(tmp_path / "set"))
    said = job.summary("set", written, 1.0)
    assert " in 1 class, " in said and "Nothing can be learned of one class" in said


def test_cifar10_is_prepared_from_images_of_its_classes(tmp_path):
    tree = make_images(tmp_path / "tree", cifar10.CLASSES)
    written = job.prepare("cifar10", str(tree), str(tmp_path / "set"))
    assert (written.name, written.source["kind"]) == ("cifar10", "images")
    assert written.classes == cifar10.CLASSES


def test_cifar10_of_other_classes_is_refused(tmp_path):
    tree = make_images(tmp_path / "tree", ["ant", "bee"])
    with pytest.raises(errors.UserError, match=r"classes ant, bee; .*--dataset=images"):
        job.prepare("cifar10", str(tree), str(tmp_path / "set"))
    assert os.listdir(tmp_path) == ["tree"]


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "renamed.tgz"])
def test_cifar10_is_prepared_from_the_archive(tmp_path, monkeypatch, name):
    archive = make_archive(tmp_path / name)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(errors.UserError, match=f"SHA-256 {checksum}; it must be c4a38"):
        job.prepare("cifar10", str(archive), str(tmp_path / "set"))
    trusting = functools.partial(cifar10.read_archive, sha256=checksum)
    monkeypatch.setattr(cifar10, "read_archive", trusting)
    written = job.prepare("cifar10", str(archive), str(tmp_path / "set"))
    assert (written.name, written.image_shape) == ("cifar10", (32, 32, 3))
    assert written.source == {"kind": "cifar-10-binary", "sha256": checksum}
    assert (written.num_examples("train"), written.num_examples("test")) == (10, 2)


def test_an_empty_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz"):
        pass
    with pytest.raises(errors.UserError, match="has no images of train"):
        job.prepare("cifar10", str(tmp_path / "a.tar.gz"), str(tmp_path / "set"))


def test_cifar10_is_downloaded_beside_the_output(tmp_path, monkeypatch):
    archive = make_archive(tmp_path / "served")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    trusting = functools.partial(cifar10.read_archive, sha256=checksum)
    monkeypatch.setattr(cifar10, "read_archive", trusting)
    monkeypatch.setattr(cifar10, "SHA256", checksum)
    monkeypatch.setattr(cifar10, "URL", archive.as_uri())
    job.prepare("cifar10", "download", f"{tmp_path}/data/cifar10/")
    assert sorted(os.listdir(tmp_path / "data")) == [cifar10.FILE_NAME, "cifar10"]


@pytest.mark.parametrize(
    "dataset, source, reason",
    [
        ("cifar", "", r"`dataset` is 'cifar'; .*Did you mean 'cifar10'\?"),
        ("digits", "download", "the digits are embedded"),
        ("cifar100", "", "it must be the path of cifar-100-binary.tar.gz"),
        ("cifar100", "download", "it must be the path of cifar-100-binary.tar.gz"),
        ("images", "", "`source` is ''; it must be the path of"),
        ("images", "download", "it must be the path of"),
        ("cifar10", "", "`source` is ''; it must be the path of"),
        ("cifar10", "nowhere.tar.gz", "No source at 'nowhere.tar.gz'"),
        ("cifar10", "cifar-10-binary.tar.gz", "No source at"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(tmp_path, dataset, source, reason):
    with pytest.raises(errors.UserError, match=reason):
        job.prepare(dataset, source, str(tmp_path / "set"))
    assert not os.listdir(tmp_path)


def test_without_a_network_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Not listening.
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/archive"
        monkeypatch.setattr(cifar10, "URL", url)
        with pytest.raises(errors.UserError, match=r"Cannot download .*resnet20\.py:"):
            job.prepare("cifar10", "download", str(tmp_path / "cifar10"))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("output", ["source/out", "source/train/a/out", "link/out"])
def test_an_output_within_its_source_is_refused(tmp_path, output):
    root = layouts.write(tmp_path / "source", layouts.classes("train", "test"))
    (tmp_path / "link").symlink_to(root)
    before = sorted(tmp_path.rglob("*"))
    given = [f"--source={root}", f"--output={tmp_path / output}"]
    values = job.parse(["prepare", "--dataset=images", *given])
    for ways in (
        lambda: job.prepare("images", str(root), str(tmp_path / output)),
        lambda: job.turn(values, turns.Caller()),
    ):
        with pytest.raises(errors.UserError, match=r"lies within `source` .*outside\."):
            ways()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_output_is_looked_at_before_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:1/archive")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(errors.UserError, match="already holds files"):
        job.prepare("cifar10", "download", str(tmp_path / "set"))


def test_a_data_set_can_be_given_a_name(tmp_path):
    tree = make_images(tmp_path / "tree", ["ant", "bee"])
    request = table.Request(source=str(tree), output=str(tmp_path / "set"))
    job.prepare_with("images", request, name="insects")
    assert manifest.read(tmp_path / "set").name == "insects"
    with pytest.raises(errors.UserError, match=r"`data\.name` is 'insects'"):
        job.check_name("insects", str(tmp_path / "elsewhere"))
    job.check_name("insects", str(tmp_path / "set"))
    for name in job.READERS:
        job.check_name(name, str(tmp_path / "elsewhere"))


def test_imagenet_stays_encoded_unless_something_else_is_asked():
    encodings = {name: reader.encoding for name, reader in job.READERS.items()}
    assert {n for n, e in encodings.items() if e == "encoded"} == {"imagenet"}


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"encoding": "jpeg"}, "`encoding` is 'jpeg'; it must be one of"),
        ({"image_size": -1}, "`image_size` is -1"),
        ({"image_size": 8, "encoding": "encoded"}, "encoded images are kept as they"),
        ({"label_noise": 1.5}, "`label_noise` is 1.5; it must be from 0 to 1"),
        ({"label_noise": 0.4, "noise_seed": -1}, "`noise_seed` is -1"),
        ({"num_processes": -1}, "`num_processes` is -1"),
        ({"num_shards": -1}, "`num_shards` is -1"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, reason):
    request = table.Request(source="", output=str(tmp_path / "set"))
    with pytest.raises(errors.UserError, match=reason):
        job.prepare_with("digits", request, **options)
    assert not os.listdir(tmp_path)
