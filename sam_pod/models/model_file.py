"""A model's file as it is found: where it lies, what it holds, and its digest.

Nothing here needs TensorFlow, but for a path in a bucket.
"""

import dataclasses
import functools
import hashlib
import io
import os
import zipfile

from sam_pod import errors
from sam_pod.process import path_flags
from sam_pod.storage import faults, files

KERAS, H5 = "keras", "h5"
CONFIG = "config.json"
_WEIGHTS = ("model.weights.h5", "model.weights.npz")
REMEDY = "name a file that model.save('x.keras') wrote, or a model of this package"
_H5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# The first bytes of other files, and what they are.
_OTHERS = (
    (0, b"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches it"),
    (0, b"<!DOCTYPE", "a web page, such as from a link that wants a log-in"),
    (0, b"<html", "a web page, such as from a link that wants a log-in"),
    (4, b"TFL3", "a model of TensorFlow Lite, which cannot be trained on"),
    (0, b"\x80\x02", "a pickle, such as PyTorch's, and no model of Keras"),
    (0, b"\x80\x04", "a pickle, and no model of Keras"),
    (0, b"\x93NUMPY", "an array of NumPy, and no model"),
    (0, b"\x1f\x8b", "compressed: unpack it"),
    (257, b"ustar", "a tar archive: unpack it"),
    (0, b"{", "JSON: an architecture at most, without weights"),
)


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """What is in a file."""

    name: str  # The path as the user gave it.
    kind: str  # KERAS or H5.
    content: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the content."""
        return sha256(self.content)


def sha256(content: bytes) -> str:
    """Return the digest of a file's content."""
    return hashlib.sha256(content).hexdigest()


def is_path(name: str) -> bool:
    """Return whether a model's name is meant as a path, and not a model of ours."""
    return "/" in name or "." in name or name.startswith("~")


def is_there(name: str) -> bool:
    """Return whether there is anything at a path.

    Raises:
        UserError: a remote path that cannot be asked.
    """
    path = _expanded(name)
    if not files.is_remote(path):
        return os.path.exists(path)
    files.check_scheme(path, "`model.name`")
    with faults.explained(path, "read"):
        return files.exists(path)


def read(name: str) -> ModelFile:
    """Return the model at a path, local or remote: a file, or Keras' unpacked folder.

    Raises:
        UserError: there is none that could be trained; the line says what there is.
    """
    path = _expanded(name)
    content = _remote(path) if files.is_remote(path) else _local(path)
    return ModelFile(name, _kind(name, content), content)


def digest(name: str) -> str:
    """Return the SHA-256 of a model's file, or '' for a model of this package.

    Raises:
        UserError: as `read` does.
    """
    return read(name).digest if is_path(name) else ""


def _expanded(name: str) -> str:
    try:
        return path_flags.expand(name)
    except ValueError as error:
        raise errors.UserError(f"`model.name` is {name!r}: {error}.") from error


def _wrong(name: str, what: str, remedy: str = REMEDY) -> errors.UserError:
    return errors.UserError(f"`model.name` is {name!r}, which is {what}: {remedy}.")


def _local(path: str) -> bytes:
    if os.path.isdir(path):
        return _folder(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _wrong(path, "not there") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _wrong(path, f"not readable ({reason})", "check its rights") from error


# A run looks at it when it checks, when it compares and when it begins.
@functools.lru_cache(maxsize=1)
def _remote(path: str) -> bytes:
    files.check_scheme(path, "`model.name`")
    with faults.explained(path, "read"):
        content = files.read_bytes(path)
        if content is not None:
            return content
        if files.is_folder(path):
            what = "a folder in a bucket, and a model there must be one file"
            raise _wrong(path, what)
    raise _wrong(path, "not there")


def _folder(path: str) -> bytes:
    """Return what Keras saves with `zipped=False` as it would have been zipped."""
    names = os.listdir(path)
    if "saved_model.pb" in names:
        raise _wrong(
            path,
            "a SavedModel, which holds a graph and no layers to train",
            "load it where it was made and save it by model.save('x.keras')",
        )
    if CONFIG not in names or not set(_WEIGHTS) & set(names):
        raise _wrong(path, "a folder that holds no model of Keras")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for folder, subfolders, inside in os.walk(path):
            subfolders.sort()
            for file in sorted(inside):
                whole = os.path.join(folder, file)
                entry = zipfile.ZipInfo(os.path.relpath(whole, path))
                with open(whole, "rb") as source:
                    archive.writestr(entry, source.read())
    return packed.getvalue()


def _kind(name: str, content: bytes) -> str:
    if content.startswith(_H5_SIGNATURE):
        _check_h5(name, content)
        return H5
    if content.startswith(b"PK"):
        _check_zip(name, content)
        return KERAS
    if not content:
        raise _wrong(name, "empty", "copy it again from where it was saved")
    for offset, start, what in _OTHERS:
        if content[offset:].startswith(start):
            raise _wrong(name, f"not a .keras file but {what}")
    raise _wrong(name, "not a .keras file nor any other model of Keras")


def _check_zip(name: str, content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = archive.namelist()
    except zipfile.BadZipFile as error:
        raise _wrong(
            name,
            "a .keras file that is cut off or damaged",
            "copy it again from where it was saved",
        ) from error
    if CONFIG in inside and set(_WEIGHTS) & set(inside):
        return
    last = {os.path.basename(entry) for entry in inside}
    what = f"an archive without {CONFIG}, and not what model.save writes"
    if "data.pkl" in last:
        what = "a file of PyTorch, and not of Keras"
    elif "saved_model.pb" in last:
        what = "an archive with a SavedModel, which holds a graph and no layers"
    elif kept := [entry for entry in inside if entry.endswith((".keras", ".h5"))]:
        what = f"an archive that holds {kept[0]}: unpack it"
    elif last and all(entry.endswith(".npy") for entry in last):
        what = "an archive of NumPy's arrays, without an architecture"
    raise _wrong(name, what)


def _check_h5(name: str, content: bytes) -> None:
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            if "model_config" in file.attrs:
                return
    except OSError as error:
        raise _wrong(
            name,
            "an HDF5 file that is cut off or damaged",
            "copy it again from where it was saved",
        ) from error
    raise _wrong(
        name,
        "an HDF5 file of weights alone, without the architecture",
        "build the model, model.load_weights it, and save all by model.save('x.keras')",
    )
