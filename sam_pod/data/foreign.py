"""TFRecord sets that were not written by us, read through a map of their features.

    TFDS        name-train.tfrecord-00000-of-00016: 'image', 'label'
    ImageNet    train-00000-of-01024: 'image/encoded', 'image/class/label' from 1 on

The files are scanned once; what is known of them then is a manifest as of `prepare`.
"""

import dataclasses
import fnmatch
import hashlib
import math
import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from sam_pod import errors, files
from sam_pod.data import (
    decoding,
    faults,
    features,
    fitting,
    framing,
    notes,
    random_access,
    records,
    scans,
    schema,
    sources,
)
from sam_pod.data import manifest as manifest_lib

STATISTICS_EXAMPLES = 4096  # That mean and deviation are of, evenly spaced.

_CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a set is laid out."""

    name: str
    patterns: Mapping[str, str]  # Of file names, by the names in records.SPLITS.
    names: features.Features
    num_classes: int


def read(
    directory: str, layout: Layout, check: Callable[[], object] = lambda: None
) -> tuple[manifest_lib.Manifest, dict[str, list[np.ndarray]]]:
    """Return the manifest of a set, and the offsets of its records by split.

    Args:
        directory: Of the files.
        layout: Of the set.
        check: Called after each file that is scanned; what it raises ends the scan.

    Raises:
        UserError: no file has such a name, a file is damaged, or an example does not
            fit.
    """
    files.check_scheme(directory, "`data.dir`")
    made = _manifest(layout, dict.fromkeys(records.SPLITS, ()))
    kind = repr((dataclasses.astuple(layout.names), layout.num_classes))
    scanned = {}
    for split, names in _files(directory, layout).items():

        def look(path: str, split: str = split) -> framing.Scan:
            return _look(path, split, made, layout.names)

        scanned[split] = scans.scan(
            directory, names, look, kind=f"{split} pictures {kind}", check=check
        )
    offsets = {
        split: [one.offsets for one in found] for split, found in scanned.items()
    }
    shards = {
        split: tuple(
            manifest_lib.Shard(
                one.file,
                len(one.offsets) - 1,
                one.num_bytes,
                one.crc32,
                one.index_crc32,
            )
            for one in found
        )
        for split, found in scanned.items()
    }
    for split, found in shards.items():
        if not sum(shard.num_examples for shard in found):
            raise errors.UserError(
                f"The files {layout.patterns[split]} of {directory} hold no examples: "
                f"check `data.files.{split}`."
            )
    paths = [os.path.join(directory, shard.file) for shard in shards["train"]]
    sample = random_access.Records(paths, offsets["train"])
    made = _manifest(layout, shards)
    mean, std = _statistics(directory, made, sample, layout.names)
    return dataclasses.replace(made, mean=mean, std=std), offsets


def _manifest(
    layout: Layout,
    shards: Mapping[str, tuple[manifest_lib.Shard, ...]],
) -> manifest_lib.Manifest:
    described = [
        (shard.file, shard.crc32) for part in shards.values() for shard in part
    ]
    names = dataclasses.astuple(layout.names)
    digest = hashlib.sha256(repr((names, described)).encode()).hexdigest()
    return manifest_lib.Manifest(
        name=layout.name,
        classes=tuple(str(i) for i in range(layout.num_classes)),
        image_encoding="encoded",
        image_shape=(0, 0, _CHANNELS),
        mean=(),
        std=(),
        source={"kind": "tfrecord", "sha256": digest},
        splits=dict(shards),
    )


def _files(directory: str, layout: Layout) -> dict[str, list[str]]:
    """Return the names of the files of each split.

    Raises:
        UserError: a pattern that fits none, or a file that is of both splits.
    """
    names = files.names(directory)
    if not names:
        raise errors.UserError(f"`data.dir` {directory} is no folder with files in it.")
    found = {}
    for split in records.SPLITS:
        pattern = layout.patterns[split]
        found[split] = fnmatch.filter(names, pattern)
        if not found[split]:
            raise errors.UserError(
                f"`data.files.{split}` is {pattern!r}, which fits no file of "
                f"{directory}; it holds {', '.join(names[:3])[:200]} and others."
            )
    both = set(found["train"]) & set(found["test"])
    if both:
        raise errors.UserError(
            f"`data.files.train` and `data.files.test` both fit {min(both)}; an "
            "example belongs to one split."
        )
    return found


def _look(
    path: str,
    split: str,
    manifest: manifest_lib.Manifest,
    names: features.Features,
) -> framing.Scan:
    misread: list[str] = []

    def picture_fault(content: bytes) -> str:
        fault = decoding.misread(content, manifest.image_shape[2])
        misread.extend([fault] if fault else [])
        return fault

    with manifest_lib.readable(path):
        examples = fitting.Examples(path, split, manifest, names, picture_fault)
        scan = framing.scan(path, examples.visit)
    fault, offset = scan.fault, scan.offset
    if examples.corrupt is not None:
        fault, offset = "corrupt", examples.corrupt
    if fault:
        raise errors.UserError(
            f"{path} is {fault} at byte {offset} of {scan.num_bytes}, or no TFRecord "
            "file: copy it again from where the data set came from."
        )
    if examples.misfit and misread:
        raise errors.UserError(f"{examples.misfit}. {_way_on(os.path.dirname(path))}")
    if examples.misfit:
        raise errors.UserError(
            f"{examples.misfit}. Mend `data.features`, `data.num_classes` or the file."
        )
    return scan


def _way_on(directory: str) -> str:
    """Return what makes a set of one whose pictures cannot be read as they are."""
    if "tfrecord" not in sources.READERS:
        return "Convert such images to JPEG or PNG where the set came from."
    return (
        f"Convert the set, once: `{schema.PREPARE} --dataset=tfrecord "
        f"--source={directory} --encoding=encoded --output=NEW_FOLDER` (--help says "
        "more)."
    )


def _statistics(
    directory: str,
    manifest: manifest_lib.Manifest,
    sample: random_access.Records,
    names: features.Features,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, as kept or anew."""
    kind = f"statistics {manifest.source['sha256']}"
    kept = notes.read(directory, kind)
    try:
        mean, std = (tuple(float(value) for value in part) for part in kept)
        if len(mean) == len(std) == _CHANNELS:
            return mean, std
    except (TypeError, ValueError):
        pass  # There is nothing, or it was not we who wrote it.
    mean, std = _statistics_of(sample, names)
    notes.write(directory, kind, [mean, std])
    return mean, std


def _statistics_of(
    sample: random_access.Records, names: features.Features
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, pixels in [0, 1], of a sample."""
    count = min(STATISTICS_EXAMPLES, len(sample))
    rows = np.arange(count) * len(sample) // count

    def sums(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        spec = {names.image: records.FEATURES["image"]}
        content = tf.io.parse_single_example(serialized, spec)[names.image]
        image = decoding.whole(content, _CHANNELS)
        pixels = tf.cast(tf.reshape(image, [-1, _CHANNELS]), tf.int64)
        return (
            tf.shape(pixels, tf.int64)[0],
            tf.reduce_sum(pixels, 0),
            tf.reduce_sum(pixels * pixels, 0),
        )

    images = tf.data.Dataset.from_tensor_slices(rows.astype(np.int64))
    images = images.map(
        lambda row: sums(sample.read(row)), num_parallel_calls=os.cpu_count()
    )
    total = (
        np.zeros(1, object),
        np.zeros(_CHANNELS, object),
        np.zeros(_CHANNELS, object),
    )
    try:
        for parts in images.as_numpy_iterator():
            for sum_, part in zip(total, parts, strict=True):
                sum_ += part.astype(object)
    except faults.OF_CONTENT as error:
        found = faults.first(sample, sums, rows, split="train")
        if not found:
            raise
        raise errors.UserError(found) from error
    pixels, first, second = total
    count = pixels[0]  # Python's integers do not overflow where they are multiplied.
    return (
        tuple(s / (255 * count) for s in first),
        tuple(
            math.sqrt(count * q - s * s) / (255 * count)
            for s, q in zip(first, second, strict=True)
        ),
    )
