"""Members of tars: where they may lie, and what they may be."""

import tarfile

import pytest

from sam_pod import errors
from sam_pod.data.sources import tars


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
    assert tars.member_path("x.tar", member(name)) == path
    assert tars.member_path("x.tar", member(name, tarfile.DIRTYPE)) == path


@pytest.mark.parametrize("name", ["/etc/x", "//x", "..", "../x", "a/../../x", "a/.."])
def test_a_member_that_escapes_is_refused(name):
    with pytest.raises(errors.UserError, match="that escapes its folder") as raised:
        tars.member_path("x.tar", member(name))
    assert str(raised.value).startswith(f"x.tar has a member {name!r}")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(kind):
    with pytest.raises(errors.UserError, match="'a' that is a device or a pipe"):
        tars.member_path("x.tar", member("a", kind))
