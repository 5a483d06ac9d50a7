"""The command that converts TFRecords which cannot be read as they are."""

import math
import shlex
from collections.abc import Sequence

import tensorflow as tf

from sam_pod import errors
from sam_pod.data.stored import example_fields, features, schema

UNKNOWN_SHAPE = "HxWxC"
SKIP = "--skip_bad"
_UNKNOWN_NAME = "NAME"  # Several features may be meant, or none.


def way_on(
    directory: str,
    names: features.Features,
    serialized: bytes = b"",
    options: Sequence[str] = (),
) -> str:
    """Return the command, in a sentence that also says what it cannot know.

    Args:
        directory: The folder of the files.
        names: The features that are read.
        serialized: An example, which shows what the command must name; b"" for none.
        options: Further flags of it.
    """
    there = _features(serialized)
    if there:
        names = _names(there, names)
    count = example_fields.unshaped(there, names.image)
    shape = _square(count) if count else ""
    told = [f"--image_shape={shape}"] if shape else []
    columns = [f"--image_column={names.image}", f"--label_column={names.label}"]
    output = "--output=NEW_FOLDER"
    skips = f"{SKIP} leaves such images out; " if SKIP in options else ""
    words = [f"--source={directory}", *options, output, *columns, *told]
    return (
        f"Convert the set, once: `{schema.PREPARE} --dataset=tfrecord "
        f"{shlex.join(words)}` ({skips}{_on_shape(count, shape)}--help says more)."
    )


def _features(serialized: bytes) -> example_fields.Features:
    try:
        return tf.train.Example.FromString(serialized).features.feature
    except Exception:  # The class is protobuf's own, by its implementation.
        return {}


def _names(
    there: example_fields.Features, names: features.Features
) -> features.Features:
    """Return the names of the features that may be meant by those that are asked for.

    Args:
        there: The features of an example.
        names: The names that are asked for.
    """
    image, label = names.image, names.label
    if image not in there:
        of_bytes = [name for name in there if there[name].bytes_list.value]
        image = of_bytes[0] if len(of_bytes) == 1 else _UNKNOWN_NAME
    if label not in there:
        asked = example_fields.Fields(image, example_fields.LABEL)
        try:
            label = example_fields.choose([there], "", asked).label
        except errors.UserError:
            label = _UNKNOWN_NAME
    return features.Features(image, label)


def _square(count: int) -> str:
    """Return the one shape of a square image of so many values, grey or of colours."""
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if side * side * channels == count:
            return f"{side}x{side}x{channels}"
    return UNKNOWN_SHAPE


def _on_shape(count: int, shape: str) -> str:
    if not shape:
        return ""
    if shape == UNKNOWN_SHAPE:
        return (
            f"{shape} is the height, width and channels of its pixels, {count:,} "
            "values; "
        )
    side, _, channels = shape.split("x")
    order = f", {channels}x{side}x{side} if channels come first" * (channels == "3")
    return f"if its {count:,} values are pixels of a square{order}; "
