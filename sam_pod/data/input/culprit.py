"""Which example made a dataset fail: TensorFlow's errors name no file."""

import re
from collections.abc import Callable, Iterable

import tensorflow as tf

from sam_pod.data.input import random_access
from sam_pod.storage import files

# TensorFlow's errors about the content of a file. NotFoundError is one of them: behind
# the end of a file it looks for a next one, and there is none.
OF_CONTENT = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
)


def first(
    records: random_access.Records,
    parse: Callable[[tf.Tensor], object],
    rows: Iterable[int],
    *,
    split: str,
) -> str:
    """Return in one line what is wrong with the first bad one of `rows`; '' if none is.

    Args:
        records: The records of the split.
        parse: A function that makes an example of a record's bytes, in a graph.
        rows: The numbers of the records, which are read one after the other.
        split: The name of the split among the files: 'train' or 'test'.
    """
    parse = tf.function(parse, input_signature=[tf.TensorSpec([], tf.string)])
    for row in rows:
        path, start, end = records.place(int(row))
        where = f"Example {row} of the {split} files, at byte {start} of {path}"
        try:
            serialized = records.read(tf.constant(row, tf.int64))
        except tf.errors.OpError as error:
            if isinstance(error, OF_CONTENT) and files.exists(path):
                return (
                    f"{where}, is corrupt or cut off: its {end - start} bytes are not "
                    "what was written. Copy the file again from where it came from."
                )
            return f"{where}, cannot be read ({_reason(error)})."
        try:
            parse(serialized)
        except tf.errors.OpError as error:
            return (
                f"{where}, holds no image that can be decoded ({_reason(error)}). Fix "
                "or remove it where the data set came from, then prepare or copy the "
                "set again."
            )
    return ""


def _reason(error: tf.errors.OpError) -> str:
    """Return the words of an error without the operations that they came through."""
    words = re.sub(r"\{\{.*?\}\}|\[+.*?\]+|name: *$", " ", error.message)
    lines = [" ".join(line.split()) for line in words.splitlines()]
    # The lines of Python that made the graph come before it.
    return [line for line in lines if line][-1].rstrip(" .")[:200]
