"""The same calls on a local disk and on what stands in for a bucket; locks; syncing."""

import os
import stat
import subprocess
import sys

import pytest
import tensorflow as tf
from tensorflow.python.lib.io import _pywrap_file_io

from sam_pod import errors
from sam_pod.storage import files


@pytest.fixture(params=["local", "ram"])
def folder(request, tmp_path):
    """Yield a folder that is not there yet."""
    if request.param == "local":
        yield str(tmp_path / "a" / "b")
        return
    yield f"ram://{request.node.name}/a/b"
    tf.io.gfile.rmtree(f"ram://{request.node.name}")


def test_files_are_written_listed_renamed_and_removed(folder):
    assert files.names(folder) == []
    assert not files.exists(folder)
    files.make_folders(f"{folder}/sub")
    files.make_folders(f"{folder}/sub")
    assert files.is_folder(folder)
    files.write(f"{folder}/x", "old")
    files.write(f"{folder}/x", "né\n")
    files.write(f"{folder}/sub/y", "")
    assert files.read(f"{folder}/x") == "né\n"
    assert files.read(f"{folder}/none") is None
    assert files.read(f"{folder}/no/folder") is None
    assert files.names(folder) == ["sub", "x"]
    assert files.exists(f"{folder}/x")
    assert not files.is_folder(f"{folder}/x")
    files.rename(f"{folder}/x", f"{folder}/sub/y")
    assert files.names(folder) == ["sub"]
    assert files.read(f"{folder}/sub/y") == "né\n"
    files.sync(folder)
    files.remove(f"{folder}/sub/y")
    assert files.names(f"{folder}/sub") == []
    files.write(f"{folder}/sub/z", "z")
    files.remove_folder(f"{folder}/sub")
    files.remove_folder(f"{folder}/sub")
    assert files.names(folder) == []


def test_a_failed_write_leaves_the_old_and_nothing_else(tmp_path):
    file = tmp_path / "x"
    files.write(str(file), "old")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    with pytest.raises(TypeError):
        files.write_bytes(str(file), 3)
    assert os.listdir(tmp_path) == ["x"]
    assert file.read_text() == "old"


def test_files_and_folders_are_synced_and_missing_ones_are_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    files.sync(str(tmp_path / "file"))
    files.sync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        files.sync(str(tmp_path / "none"))


def test_a_lock_is_held_until_it_is_closed(tmp_path):
    path = str(tmp_path / "lock")
    first = files.lock(path)
    assert files.lock(path) is None
    first.close()
    with files.lock(path) as second, open(path) as other:
        assert not files.try_lock(other)
        second.close()
        assert files.try_lock(other)


def test_folders_of_a_bucket_are_listed_by_their_names(monkeypatch):
    """As the client for gs:// lists them."""
    monkeypatch.setattr(_pywrap_file_io, "GetChildren", lambda path: ["x", "sub/"])
    assert files.names("gs://bucket/run") == ["sub", "x"]


def test_a_bucket_has_no_lock():
    with files.lock("ram://bucket/lock"), files.lock("ram://bucket/lock"):
        assert not files.exists("ram://bucket/lock")


def test_an_unknown_scheme_is_refused():
    files.check_scheme("/local/folder", "--workdir")
    files.check_scheme("gs://bucket/folder", "--workdir")
    with pytest.raises(
        errors.UserError,
        match=r"--workdir is s4://bucket/x, .*'s4'.*file://, gs://, ram:// and local",
    ):
        files.check_scheme("s4://bucket/x", "--workdir")


def test_tensorflow_is_imported_for_remote_paths_alone(tmp_path):
    code = (
        "import sys; from sam_pod.storage import files; "
        f"files.write({str(tmp_path / 'x')!r}, 'x'); files.names({str(tmp_path)!r}); "
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
