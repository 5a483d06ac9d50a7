import hashlib
import tarfile

import pytest

from sam_pod import errors
from sam_pod.data.sources import archives


def member(name, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


@pytest.mark.parametrize(
    "name, path",
    [
        ("a/b.png", "a/b.png"),
        ("./a/b.png", "a/b.png"),
        ("a//b.png", "a/b.png"),
        ("a/..b..png", "a/..b..png"),
        ("./", "."),
    ],
)
def test_a_plain_member_is_taken(name, path):
    assert archives.member_path("x.tar", member(name)) == path
    assert archives.member_path("x.tar", member(name, tarfile.DIRTYPE)) == path


@pytest.mark.parametrize("name", ["/etc/x", "//x", "..", "../x", "a/../../x", "a/.."])
def test_a_member_that_escapes_is_refused(name):
    with pytest.raises(errors.UserError, match="that escapes its folder") as raised:
        archives.member_path("x.tar", member(name))
    assert str(raised.value).startswith(f"x.tar has a member {name!r}")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(kind):
    with pytest.raises(errors.UserError, match="'a' that is a device or a pipe"):
        archives.member_path("x.tar", member("a", kind))


def test_the_checksum_is_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 9000  # More than one block.
    (tmp_path / "file").write_bytes(content)
    checksum = archives.file_sha256(str(tmp_path / "file"))
    assert checksum == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"Cannot read .*\(Is a directory\)"):
        archives.file_sha256(str(tmp_path))
