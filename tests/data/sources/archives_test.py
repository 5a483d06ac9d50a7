"""Files and archives that are asked before they are trusted."""

import hashlib

import pytest

from sam_pod import errors
from sam_pod.data.sources import archives


def test_the_checksum_is_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 9000  # More than one block.
    (tmp_path / "file").write_bytes(content)
    checksum = archives.file_sha256(str(tmp_path / "file"))
    assert checksum == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"Cannot read .*\(Is a directory\)"):
        archives.file_sha256(str(tmp_path))
