"""The image and the label in a tf.train.Example that another tool wrote.

The image is encoded, or the bytes or numbers of its pixels, with the shape in features
beside it or in a flag. The label has any kind that `label_values` takes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.stored import label_names, raw_pixels

IMAGE, LABEL = "image", label_names.LABEL  # The names that need no flag.

# The first bytes of image files.
_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"RIFF",
    b"qoif",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP",
    b"\xff\x4f\xff\x51",
)
_CONTAINER = b"ftyp"  # Of AVIF and HEIC, behind four bytes.
# Names of an image's height, width and channels, in this order.
_SIZES = (
    ("image/height", "image/width", "image/channels"),
    ("height", "width", "depth"),
    ("height", "width", "channels"),
    ("h", "w", "c"),
    ("rows", "cols", "depth"),
)
# Last parts of names of texts that come with an image and are no labels.
_ABOUT = frozenset(
    {"format", "encoding", "colorspace", "filename", "file_name", "image_name", "path"}
    | {"image_path", "file_path", "sha256", "md5", "key", "id", "image_id", "source_id"}
)


@dataclasses.dataclass(frozen=True)
class Fields:
    """Which features are read."""

    image: str
    label: str
    shape: tuple[int, ...] = ()  # The shape of pixels; () where other features say it.
    decisions: tuple[str, ...] = ()


Features = Mapping[str, tf.train.Feature]


def value(feature: tf.train.Feature) -> Any:
    """Return the values of a feature: a list of bytes, or an array of numbers."""
    kind = feature.WhichOneof("kind")
    if kind == "bytes_list":
        return list(feature.bytes_list.value)
    if kind == "int64_list":
        return np.array(feature.int64_list.value, np.int64)
    return np.array(feature.float_list.value, np.float32)


def choose(few: Sequence[Features], where: str, asked: Fields) -> Fields:
    """Return which features are the image and the label, by the first examples.

    Args:
        few: The features of the first examples, one at least.
        where: The place of the first, for an error.
        asked: The names in the flags. If one is the default and there is no such
            feature, the only one that fits is taken.

    Raises:
        UserError: there is none, or several could be.
    """
    first = few[0]
    image, label, decisions = asked.image, asked.label, []
    if image not in first:
        images = [name for name in first if _is_image(first[name])] or [
            name for name in first if _is_pixels(first, name, asked.shape)
        ]
        image = _only(images, image, IMAGE, first, where)
        decisions.append(f"Feature {image!r} is taken for the images.")
    if label not in first:
        labels = [
            name
            for name in label_names.usual(first, image)
            if not _is_image(first[name])
        ] or [name for name in first if name != image and _may_be_labels(few, name)]
        label = _only(labels, label, LABEL, first, where)
        decisions.append(f"Feature {label!r} is taken for the labels.")
    return dataclasses.replace(
        asked, image=image, label=label, decisions=tuple(decisions)
    )


def _may_be_labels(few: Sequence[Features], name: str) -> bool:
    """Return whether all examples that have something in a feature have a label."""
    if any(name in sizes for sizes in _SIZES):
        return False
    found = [value(features[name]) for features in few if name in features]
    found = [some for some in found if not _is_none(some)]
    if isinstance(next(iter(found), None), list):
        end = name.lower().replace(".", "/").rpartition("/")[2]
        return end not in _ABOUT and all(map(_is_label, found))
    return bool(found) and all(map(_is_label, found))


def _is_none(found: list[bytes] | np.ndarray) -> bool:
    if isinstance(found, list):
        return not any(found)
    return bool(np.isnan(found).all())  # Of no values as well.


def _is_label(found: list[bytes] | np.ndarray) -> bool:
    """Return whether some values are a text, a whole number or one-hot."""
    if isinstance(found, list):
        (content, *others) = found
        return not others and not is_file(content) and label_names.is_text(content)
    if len(found) == 1:
        return bool(np.isfinite(found[0]) and found[0] == np.floor(found[0]))
    return np.count_nonzero(found) == 1 == np.count_nonzero(found == 1)


def _is_image(feature: tf.train.Feature) -> bool:
    content = feature.bytes_list.value
    return len(content) == 1 and is_file(content[0])


def is_file(content: bytes) -> bool:
    """Return whether some bytes are a file of an image, and no pixels."""
    return content.startswith(_MAGIC) or content[4:8] == _CONTAINER


def unshaped(features: Features, name: str) -> int:
    """Return how many values of pixels a feature has whose shape nothing says.

    It is 0 for one that is a file or not there, or whose shape others say.

    Args:
        features: The features of an example.
        name: The name of the feature.
    """
    if name not in features:
        return 0
    found = value(features[name])
    if isinstance(found, list):
        if len(found) != 1 or is_file(found[0]):
            return 0
        found = found[0]
    return 0 if _shape(features, len(found)) else len(found)


def _is_pixels(features: Features, name: str, shape: tuple[int, ...]) -> bool:
    """Return whether a feature holds as many bytes as an image has values."""
    content = features[name].bytes_list.value
    if len(content) != 1 or not content[0]:
        return False
    count = len(content[0])
    return int(np.prod(shape)) == count if shape else bool(_shape(features, count))


def _only(found: list, asked: str, default: str, first: Features, where: str) -> str:
    if asked == default and len(found) == 1:
        return found[0]
    several = f"; {' and '.join(sorted(found))} may be it" if len(found) > 1 else ""
    raise errors.UserError(
        f"{where} has no feature {asked!r}; it has {listed(first)}{several}. Pass "
        "--image_column and --label_column."
    )


def listed(features: Features) -> str:
    """Return the names and kinds of some features in words."""
    kinds = {"bytes_list": "bytes", "int64_list": "int64", "float_list": "float"}
    there = [
        f"{name} ({kinds.get(features[name].WhichOneof('kind'), 'empty')})"
        for name in sorted(features)
    ]
    return ", ".join(there)[:400] or "none"


def label(features: Features, fields: Fields) -> Any:
    """Return the label: a number, a text, a row, or None where there is none."""
    if fields.label not in features:
        return None
    found = value(features[fields.label])
    if not len(found):
        return None
    return found[0] if len(found) == 1 else found


def image(features: Features, fields: Fields, where: str) -> np.ndarray | bytes:
    """Return the image: uint8 `[H, W, C]`, or the bytes of an encoded one.

    Raises:
        UserError: there is none, or pixels whose shape is not known.
    """
    if fields.image not in features:
        raise errors.UserError(
            f"{where} has no feature {fields.image!r}; it has {listed(features)}."
        )
    found = value(features[fields.image])
    if isinstance(found, list):
        if len(found) != 1 or not found[0]:
            raise errors.UserError(
                f"{where} has {len(found)} values in {fields.image!r}; it must have "
                "one image."
            )
        (content,) = found
        shape = fields.shape or _shape(features, len(content))
        if not shape:
            if is_file(content):
                return content
            raise errors.UserError(
                f"{where} has {len(content)} bytes in {fields.image!r} that are no "
                "image file: if they are pixels, say their height, width and channels, "
                "such as --image_shape=28x28x1."
            )
        found = np.frombuffer(content, np.uint8)
    else:
        shape = fields.shape or _shape(features, len(found))
    if int(np.prod(shape)) != len(found) or not shape:
        says = "x".join(map(str, shape)) or "not known"
        raise errors.UserError(
            f"{where} has {len(found)} values in {fields.image!r}, and their shape is "
            f"{says}; there must be one byte or number for each pixel and channel: say "
            "their height, width and channels, such as --image_shape=28x28x1."
        )
    return raw_pixels.as_image(found.reshape(shape), where, fields.image)


def _shape(features: Features, count: int) -> tuple[int, ...]:
    """Return the shape that features beside an image say, if it has so many values."""
    for names in _SIZES:
        sizes = [
            int(value(features[name])[0])
            for name in names
            if name in features
            and len(value(features[name])) == 1
            and features[name].WhichOneof("kind") == "int64_list"
        ]
        if len(sizes) == 2:
            sizes.append(count // max(1, sizes[0] * sizes[1]))
        if len(sizes) == 3 and sizes[2] in (1, 3) and int(np.prod(sizes)) == count:
            return tuple(sizes)
    if "shape" in features:
        found = value(features["shape"])
        if isinstance(found, np.ndarray) and int(np.prod(found)) == count:
            return tuple(int(size) for size in found)
    return ()
