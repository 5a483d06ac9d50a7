"""The development kit of ILSVRC 2012, which says the class of each image of val."""

import os
import tarfile
import tempfile

import scipy.io

from sam_pod import errors
from sam_pod.data.sources import archives, tars

NAME = "ILSVRC2012_devkit_t12.tar.gz"
_TRUTH, _META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"


def read(path: str) -> list[str] | None:
    """Return the wnid of each image of val, in the order of their names.

    It is None where the file is no tar.

    Raises:
        UserError: it is a tar of other things, or broken.
    """
    if not _is_tar(path):
        return None
    found = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = os.path.basename(tars.member_path(path, member))
                if name in (_TRUTH, _META) and member.isfile():
                    found[name] = tar.extractfile(member).read()
    except archives.FAULTS as error:
        raise archives.unreadable(path, error) from error
    for name in (_TRUTH, _META):
        if name not in found:
            raise errors.UserError(f"{path} lacks {name}; it must be {NAME}.")
    return _wnids(path, found[_META], found[_TRUTH])


def _is_tar(path: str) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False


def _wnids(path: str, meta: bytes, truth: bytes) -> list[str]:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(meta)
            file.seek(0)
            synsets = scipy.io.loadmat(file, squeeze_me=True)["synsets"]
        wnids = {
            int(number): str(wnid)
            for number, wnid in zip(
                synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True
            )
        }
        return [wnids[int(line)] for line in truth.split()]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise archives.unreadable(f"the labels in {path}", error) from error
