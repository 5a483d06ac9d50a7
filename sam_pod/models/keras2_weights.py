"""Where the weights lie in a .keras file of tf.keras 2, and where Keras 3 looks.

Both name a layer in the file by its class and its number among those of its class.
Keras 2.12 counted a layer with weights twice (`conv2d`, `conv2d_2`, `conv2d_4`), and
some classes have another name in Keras 3.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

WEIGHTS = "model.weights.h5"
_LAYERS = "_layer_checkpoint_dependencies"


def moved(content: bytes, before: Any, after: Any) -> bytes:
    """Return a file's content with the weights where Keras 3 looks for them.

    Args:
        content: The content of a .keras file.
        before: The configuration in it, as written by tf.keras 2.
        after: The same for Keras 3: other classes, but the same layers.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if WEIGHTS not in archive.namelist():
            return content
        entries = {entry: archive.read(entry) for entry in archive.infolist()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for entry, data in entries.items():
            if entry.filename == WEIGHTS:
                weights = io.BytesIO(data)
                with h5py.File(weights, "r+") as file:
                    _move(file, before["config"], after["config"])
                data = weights.getvalue()
            archive.writestr(entry, data)
    return packed.getvalue()


def _move(place: h5py.Group, before: Any, after: Any) -> None:
    layers = place.get(_LAYERS)
    if layers is None or not isinstance(before, dict) or "layers" not in before:
        return
    theirs, twice = (list(_names(before["layers"], x)) for x in (None, layers))
    if not _are_in(layers, theirs) and _are_in(layers, twice):
        theirs = twice
    found = [name if name in layers else None for name in theirs]
    for number, (name, old, new) in enumerate(
        zip(found, before["layers"], after["layers"], strict=True)
    ):
        if name is not None:
            _move(layers[name], old["config"], new["config"])
            layers.move(name, f"moving {number}")
    for number, new in enumerate(_names(after["layers"])):
        if found[number] is not None:
            layers.move(f"moving {number}", new)


def _names(
    layers: list[dict[str, Any]], counting_weights: h5py.Group | None = None
) -> Iterator[str]:
    """Yield the layers' names; if asked, a layer with weights counts twice."""
    counts: dict[str, int] = {}
    for layer in layers:
        kind = _snake_case(layer["class_name"])
        count = counts.get(kind, 0)
        name = f"{kind}_{count}" if count else kind
        has = counting_weights is not None and _has_values(counting_weights.get(name))
        counts[kind] = count + 1 + has
        yield name


def _are_in(layers: h5py.Group, names: list[str]) -> bool:
    # A Sequential model keeps nothing of its input.
    return all(name in layers for name in names if not name.startswith("input_layer"))


def _has_values(group: h5py.Group | None) -> bool:
    if group is None:
        return False
    found: list[str] = []
    group.visititems(
        lambda name, item: found.append(name) if hasattr(item, "shape") else None
    )
    return bool(found)


def _snake_case(name: str) -> str:
    """Return a class' name as Keras writes it in files."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
