"""Syncing what is there and what is not; locks between two open files."""

import pytest

from sam_pod import files


def test_files_and_folders_are_synced_and_missing_ones_are_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    files.sync(str(tmp_path / "file"))
    files.sync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        files.sync(str(tmp_path / "none"))


def test_a_lock_is_held_until_it_is_closed(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as first, path.open("w") as second:
        assert files.try_lock(first)
        assert not files.try_lock(second)
        first.close()
        assert files.try_lock(second)
