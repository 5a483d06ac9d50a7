"""Which columns of a Parquet file are the images and the labels, and what they hold."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sam_pod import errors
from sam_pod.data.stored import label_names
from sam_pod.storage import files

if TYPE_CHECKING:
    import pyarrow

IMAGE, LABEL = "image", label_names.LABEL  # The names that need no flag.

_FLAGS = "Pass --image_column and --label_column."
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What is read of each row."""

    image: str
    label: str
    decisions: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """Both names."""
        return self.image, self.label


def image_kind(kind: "pyarrow.DataType") -> str:
    """Return how images are stored in a column of a type.

    The kinds are 'struct' for {bytes, path}, 'bytes' for encoded images, 'path' for
    texts, 'pixels' for lists of numbers, and '' for anything else.
    """
    from pyarrow import types

    if types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        has_bytes = "bytes" in fields and _is_binary(fields["bytes"])
        has_path = "path" in fields and _is_text(fields["path"])
        return "struct" if has_bytes or has_path else ""
    if _is_binary(kind):
        return "bytes"
    if _is_text(kind):
        return "path"
    return "pixels" if depth(kind) > 1 else ""


def _is_binary(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_text(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
    )


def is_list(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
    )


def depth(kind: "pyarrow.DataType") -> int:
    """Return how many lists of numbers lie in one another."""
    from pyarrow import types

    count = 0
    while is_list(kind):
        count, kind = count + 1, kind.value_type
    return count if types.is_integer(kind) or types.is_floating(kind) else 0


def fields(schema: "pyarrow.Schema") -> Mapping[str, dict]:
    """Return Hugging Face's metadata on each column, nothing without them."""
    try:
        found = files.parse_json((schema.metadata or {})[b"huggingface"])
        found = found["info"]["features"]
        return {name: dict(field) for name, field in found.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def choose(
    schema: "pyarrow.Schema",
    first: Mapping[str, object],
    path: str,
    asked: Columns,
    look: Callable[[Sequence[str]], Collection[str]],
) -> Columns:
    """Return which columns are the images and the labels.

    Args:
        schema: The schema of a file with labels.
        first: The texts and bytes of its first row, by the names of the columns.
        path: The file's path.
        asked: The names in the flags. If one is the default and no column has it, the
            only column that fits is taken.
        look: A function that returns which of some columns hold labels, called where
            their types do not say.

    Raises:
        UserError: there is none, or several could be.
    """
    told = fields(schema)
    image, label, decisions = asked.image, asked.label, []
    if image not in schema.names:
        image = _only(_images(schema, told, first), image, IMAGE, schema, path)
        decisions.append(f"Column {image!r} is taken for the images.")
    if label not in schema.names:
        found = _labels(schema, told, image, look)
        label = _only(found, label, LABEL, schema, path)
        decisions.append(f"Column {label!r} is taken for the labels.")
    kind = schema.field(image).type
    if not image_kind(kind):
        raise errors.UserError(
            f"Column {image!r} of {path} is {kind}; it must hold encoded images "
            "(binary, or a struct with 'bytes'), their paths (text), or pixels as "
            "lists of lists. Pass --image_column for another."
        )
    return Columns(image, label, tuple(decisions))


def _only(
    found: Sequence[str], asked: str, default: str, schema: "pyarrow.Schema", path: str
) -> str:
    if asked == default and len(found) == 1:
        return found[0]
    there = ", ".join(schema.names)
    several = f"; {' and '.join(found)} may be it" if len(found) > 1 else ""
    raise errors.UserError(
        f"{path} has no column {asked!r}; it has {there[:300]}{several}. {_FLAGS}"
    )


def _images(
    schema: "pyarrow.Schema", told: Mapping[str, dict], first: Mapping[str, object]
) -> list[str]:
    """Return the columns that can be nothing but images; paths if there are none."""
    named = _of_type(told, "Image", schema)
    kinds = {field.name: image_kind(field.type) for field in schema}
    whole = [name for name, kind in kinds.items() if kind in ("struct", "bytes")]
    paths = [
        name
        for name, kind in kinds.items()
        if kind == "path" and str(first.get(name)).lower().endswith(_SUFFIXES)
    ]
    return named or whole or paths


def _labels(
    schema: "pyarrow.Schema",
    told: Mapping[str, dict],
    image: str,
    look: Callable[[Sequence[str]], Collection[str]],
) -> list[str]:
    """Return the columns that may be labels.

    The metadata's classes come first, then what has a usual name, whatever it holds:
    where that is no label, another column is none all the more.
    """
    kinds = {field.name: field.type for field in schema if field.name != image}
    named = _of_type(told, "ClassLabel", schema) or [
        name
        for name in label_names.usual(schema.names, image)
        if image_kind(kinds[name]) in ("", "path")
    ]
    if named:
        return named
    sure = {name for name, kind in kinds.items() if _is_label(kind)}
    unsure = [n for n, k in kinds.items() if n not in sure and _may_be_label(k)]
    found = sure.union(look(unsure)) if unsure else sure
    return [name for name in kinds if name in found]


def _is_label(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return (
        types.is_integer(kind)
        or types.is_boolean(kind)
        or types.is_dictionary(kind)
        or _is_text(kind)
    )


def _may_be_label(kind: "pyarrow.DataType") -> bool:
    """Return whether a type may hold whole numbers, one-hot rows or plain texts."""
    from pyarrow import types

    return (
        types.is_floating(kind)
        or types.is_decimal(kind)
        or _is_binary(kind)
        or (is_list(kind) and not is_list(kind.value_type))
    )


def _of_type(
    told: Mapping[str, dict], kind: str, schema: "pyarrow.Schema"
) -> list[str]:
    return [
        name
        for name, field in told.items()
        if field.get("_type") == kind and name in schema.names
    ]


def pixels(scalar: "pyarrow.ListScalar") -> np.ndarray:
    """Return the numbers in nested lists, with as many dimensions.

    Raises:
        ValueError: rows of different lengths.
    """
    import pyarrow

    values = scalar.values
    shape = [len(values)]
    while is_list(values.type):
        lengths = set(pyarrow.compute.list_value_length(values).to_pylist())
        if len(lengths) != 1 or None in lengths:
            raise ValueError("its rows are of different lengths")
        shape += lengths
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)
