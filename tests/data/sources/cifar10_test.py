import contextlib
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.sources import cifar10

PER_FILE = 20
FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
META = "\n".join(cifar10.CLASSES) + "\n\n"


def make_examples(name):
    rng = np.random.default_rng(FILES.index(name))
    images = rng.integers(0, 256, (PER_FILE, 32, 32, 3), np.uint8)
    return images, (np.arange(PER_FILE) * 7 + FILES.index(name)) % 10


def make_members():
    """Return the files of the archive, their records put together byte by byte."""
    members = {"batches.meta.txt": META.encode()}
    # The official archive does not have its files in order, either.
    for name in FILES[::-1]:
        records = [
            bytes([label])
            + image[:, :, 0].tobytes()
            + image[:, :, 1].tobytes()
            + image[:, :, 2].tobytes()
            for image, label in zip(*make_examples(name), strict=True)
        ]
        members[name] = b"".join(records)
    return members


def pack(path, members, *extra):
    """Write an archive and return its SHA-256."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        folder = tarfile.TarInfo("cifar-10-batches-bin")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return sha256(path)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def refusal(path, checksum):
    with pytest.raises(errors.UserError) as raised:
        cifar10.read_archive(str(path), checksum)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_planes_become_pixels_in_the_official_order(tmp_path):
    checksum = pack(tmp_path / "archive", make_members())
    source = cifar10.read_archive(str(tmp_path / "archive"), checksum)
    assert (source.name, source.sha256) == ("cifar10", checksum)
    assert source.classes[0] == "airplane" and source.classes[9] == "truck"
    for split, names in (("train", FILES[:5]), ("test", FILES[5:])):
        part = source.splits[split]
        assert part.num_examples == PER_FILE * len(names)
        for _ in range(2):  # Each call starts again.
            items = part.read(0, part.num_examples)
            images, labels, keys, faults = zip(*items, strict=True)
            assert not any(faults)
            assert keys[:2] == (f"{split}/0", f"{split}/1")
            made = [make_examples(name) for name in names]
            np.testing.assert_array_equal(images, np.concatenate([m[0] for m in made]))
            assert list(labels) == list(np.concatenate([m[1] for m in made]))


def test_the_checksum_is_looked_at_before_anything_else(tmp_path):
    (tmp_path / "archive").write_bytes(b"no archive at all")
    found = hashlib.sha256(b"no archive at all").hexdigest()
    text = refusal(tmp_path / "archive", cifar10.SHA256)
    assert f"has SHA-256 {found}; it must be {cifar10.SHA256}" in text
    assert f"delete it and fetch {cifar10.URL}" in text


def test_the_official_checksum_is_the_default(tmp_path):
    pack(tmp_path / "archive", make_members())
    with pytest.raises(errors.UserError, match="it must be c4a38c50a1bc5f3a1c5537f21"):
        cifar10.read_archive(str(tmp_path / "archive"))


@pytest.mark.parametrize(
    "name, kind",
    [
        ("/etc/cron.d/x", tarfile.REGTYPE),
        ("cifar-10-batches-bin/../../x", tarfile.REGTYPE),
        ("cifar-10-batches-bin/x", tarfile.SYMTYPE),
    ],
)
def test_a_member_that_escapes_is_refused(tmp_path, name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    checksum = pack(tmp_path / "archive", make_members(), info)
    assert f"has a member {name!r} that" in refusal(tmp_path / "archive", checksum)


@pytest.mark.parametrize("name", ["data_batch_3.bin", "batches.meta.txt"])
def test_a_missing_member_is_named(tmp_path, name):
    members = make_members()
    del members[name]
    checksum = pack(tmp_path / "archive", members)
    assert f"lacks cifar-10-batches-bin/{name}" in refusal(
        tmp_path / "archive", checksum
    )


@pytest.mark.parametrize("size", [0, 1, 3072, 3073 * PER_FILE - 1])
def test_a_member_of_a_wrong_size_is_named(tmp_path, size):
    members = make_members()
    members["test_batch.bin"] = members["test_batch.bin"][:size]
    checksum = pack(tmp_path / "archive", members)
    text = refusal(tmp_path / "archive", checksum)
    assert f"cifar-10-batches-bin/test_batch.bin in {tmp_path}" in text
    assert f"has {size} bytes; it must hold records of 3073 bytes" in text


@pytest.mark.parametrize("label", [10, 255])
def test_a_label_above_nine_is_named(tmp_path, label):
    members = make_members()
    content = bytearray(members["data_batch_2.bin"])
    content[4 * 3073] = label
    members["data_batch_2.bin"] = bytes(content)
    checksum = pack(tmp_path / "archive", members)
    text = refusal(tmp_path / "archive", checksum)
    assert "Record 4 of cifar-10-batches-bin/data_batch_2.bin" in text
    assert f"has label {label}; it must be from 0 to 9" in text


def test_other_classes_are_refused(tmp_path):
    members = {**make_members(), "batches.meta.txt": b"apple\nbaby\n"}
    checksum = pack(tmp_path / "archive", members)
    assert "names the 2 classes apple, baby" in refusal(tmp_path / "archive", checksum)


@pytest.mark.parametrize("size", [0, 10, 1000, 200_000])
def test_a_broken_archive_is_refused_whatever_its_checksum(tmp_path, size):
    pack(tmp_path / "whole", make_members())
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "archive").write_bytes(content[:size])
    text = refusal(tmp_path / "archive", sha256(tmp_path / "archive"))
    assert "Cannot read" in text


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(errors.UserError, match="Cannot read"):
        cifar10.read_archive(str(tmp_path / name))


@contextlib.contextmanager
def serve(content, said=None, status=200):
    """Serve `content` on a loopback address; yield its URL and the requests."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(status)
            if said != "nothing":
                self.send_header("Content-Length", str(said or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{cifar10.FILE_NAME}", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("said", [None, "nothing"])
def test_a_download_is_kept_and_not_repeated(tmp_path, monkeypatch, said):
    content = os.urandom(1 << 20)
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(content).hexdigest())
    destination = tmp_path / "data" / "archive"
    with serve(content, said) as (url, requests):
        monkeypatch.setattr(cifar10, "URL", url)
        for _ in range(2):
            cifar10.download(str(destination))
        assert len(requests) == 1
    assert destination.read_bytes() == content
    assert os.listdir(tmp_path / "data") == ["archive"]


def refused_download(tmp_path, monkeypatch, url):
    monkeypatch.setattr(cifar10, "URL", url)
    with pytest.raises(errors.UserError) as raised:
        cifar10.download(str(tmp_path / "archive"))
    assert not os.listdir(tmp_path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.usefixtures("no_proxy")
def test_a_download_with_another_checksum_is_refused(tmp_path, monkeypatch):
    with serve(b"a page that says no") as (url, _):
        text = refused_download(tmp_path, monkeypatch, url)
    assert f"it must be {cifar10.SHA256}" in text


def assert_three_ways(text):
    assert "(1) fetch cifar-10-binary.tar.gz on another machine" in text
    assert "python -m sam_pod.data.prepare --dataset=cifar10 --source=PATH" in text
    assert "(2) run that with the path of a folder or tar of images train/" in text
    assert "(3) train on the embedded digits" in text
    assert "--config=configs/resnet20.py:digits" in text


@pytest.mark.usefixtures("no_proxy")
def test_without_a_network_three_ways_on_are_named(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Not listening.
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/archive"
        text = refused_download(tmp_path, monkeypatch, url)
    assert f"Cannot download {url} (" in text
    assert_three_ways(text)


@pytest.mark.usefixtures("no_proxy")
def test_a_download_that_breaks_off_is_refused(tmp_path, monkeypatch):
    with serve(b"x" * 1000, said=5000) as (url, _):
        text = refused_download(tmp_path, monkeypatch, url)
    assert "(it broke off after 1000 of 5000 bytes)" in text
    assert_three_ways(text)


@pytest.mark.usefixtures("no_proxy")
def test_an_error_of_the_server_is_told(tmp_path, monkeypatch):
    with serve(b"gone", status=404) as (url, _):
        text = refused_download(tmp_path, monkeypatch, url)
    assert "Not Found" in text
    assert_three_ways(text)


@pytest.mark.usefixtures("no_proxy")
def test_an_old_file_with_another_checksum_is_refused_and_kept(tmp_path):
    (tmp_path / "archive").write_bytes(b"half of it")
    with pytest.raises(errors.UserError, match="delete it and fetch"):
        cifar10.download(str(tmp_path / "archive"))
    assert (tmp_path / "archive").read_bytes() == b"half of it"


def test_a_destination_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:1/archive")
    with pytest.raises(errors.UserError, match="Cannot write"):
        cifar10.download(str(tmp_path / "file" / "archive"))
