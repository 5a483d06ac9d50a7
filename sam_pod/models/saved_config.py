"""The architecture in a model's file, and the release that wrote it."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

from sam_pod.models import model_file

_H5_CONFIG = "model_config"


def saved_by(file: model_file.ModelFile) -> str:
    """Return the release of Keras that a file says it is of; '?' if it says none."""
    try:
        if file.kind == model_file.H5:
            with h5py.File(io.BytesIO(file.content), "r") as opened:
                version = opened.attrs.get("keras_version", "?")
            return version.decode() if isinstance(version, bytes) else str(version)
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile):
        return "?"


def objects(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every serialized object in a configuration, the outer before the inner."""
    if isinstance(content, dict):
        if "class_name" in content and isinstance(content.get("config"), dict):
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from objects(item)


def read(kind: str, content: bytes) -> Any:
    """Return the architecture in a file."""
    if kind == model_file.H5:
        with h5py.File(io.BytesIO(content), "r") as file:
            return json.loads(file.attrs[_H5_CONFIG])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read(model_file.CONFIG))


def replaced(kind: str, content: bytes, config: Any) -> bytes:
    """Return the content of a file with another architecture."""
    text = json.dumps(config).encode()
    if kind == model_file.H5:
        changed = io.BytesIO(content)
        with h5py.File(changed, "r+") as file:
            file.attrs[_H5_CONFIG] = text
        return changed.getvalue()
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(changed, "w") as new,
    ):
        for entry in old.infolist():
            is_config = entry.filename == model_file.CONFIG
            new.writestr(entry, text if is_config else old.read(entry))
    return changed.getvalue()
