"""Reaching the disk cannot be seen from here; what is not there can."""

import pytest

from sam_pod import files


def test_files_and_folders_are_synced_and_missing_ones_are_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    files.sync(str(tmp_path / "file"))
    files.sync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        files.sync(str(tmp_path / "none"))
