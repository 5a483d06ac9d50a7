"""TFRecord sets that other tools wrote, read through a map of their features.

    TFDS        name-train.tfrecord-00000-of-00016: 'image', 'label'
    ImageNet    train-00000-of-01024: 'image/encoded', 'image/class/label' from 1 on

The files are scanned once, which gives a manifest like those of `prepare`.
"""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.data.input import conversion, patterns, random_access, scans, statistics
from sam_pod.data.pictures import careful, decoding, rules
from sam_pod.data.sources import numbered_files
from sam_pod.data.stored import example_fields, features, fitting, framing, records
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.data.stored.untuned import untuned
from sam_pod.storage import files


@dataclasses.dataclass(frozen=True)
class ForeignFiles:
    """The files and features of a set."""

    name: str
    patterns: Mapping[str, str]  # For file names, by those in records.SPLITS.
    names: features.Features
    num_classes: int


def read(
    directory: str,
    layout: ForeignFiles,
    raise_if_stopped: Callable[[], object] = lambda: None,
) -> tuple[manifest_lib.Manifest, dict[str, list[np.ndarray]]]:
    """Return the manifest of a set, and the offsets of its records by split.

    Args:
        directory: The folder of the files.
        layout: The set's layout.
        raise_if_stopped: A function called after each file that is scanned; what it
            raises ends the scan.

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
            return _look(directory, path, split, made, layout.names)

        scanned[split] = scans.scan(
            directory,
            names,
            look,
            kind=f"{split} pictures {kind}",
            raise_if_stopped=raise_if_stopped,
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
    mean, std = statistics.read(directory, made, sample, layout.names)
    return dataclasses.replace(made, mean=mean, std=std), offsets


def _manifest(
    layout: ForeignFiles,
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
        image_shape=(0, 0, statistics.CHANNELS),
        mean=(),
        std=(),
        source={"kind": "tfrecord", "sha256": digest},
        splits=dict(shards),
    )


def _files(directory: str, layout: ForeignFiles) -> dict[str, list[str]]:
    """Return the names of the files of each split.

    Raises:
        UserError: a pattern that fits none, or a file that is of both splits.
    """
    if not files.names(directory):
        raise errors.UserError(f"`data.dir` {directory} is no folder with files in it.")
    found: dict[str, list[str]] = {}
    for split, pattern in layout.patterns.items():
        found[split] = patterns.matching(directory, pattern, f"`data.files.{split}`")
        for other, names in found.items():
            both = set(names) & set(found[split]) if other != split else set()
            if both:
                raise errors.UserError(
                    f"`data.files.{other}` and `data.files.{split}` both fit "
                    f"{min(both)}; an example belongs to one split."
                )
    # Together: splits may share out the files of one set.
    for line in numbered_files.missing(".", itertools.chain(*found.values())):
        logging.warning("%s", line)
    return found


def _look(
    directory: str,
    path: str,
    split: str,
    manifest: manifest_lib.Manifest,
    names: features.Features,
) -> framing.Scan:
    misread: list[bytes] = []

    def picture_fault(content: bytes) -> str:
        fault = decoding.misread(content, manifest.image_shape[2])
        misread.extend([content] if fault else [])
        return fault

    with manifest_lib.usable(path):
        examples = fitting.Fit(path, split, manifest, names, picture_fault)
        scan = framing.scan(path, examples.visit)
    fault, offset = scan.fault, scan.offset
    if examples.corrupt is not None:
        fault, offset = "corrupt", examples.corrupt
    if fault and (packed := patterns.packed(path)):
        raise errors.UserError(
            f"{path} is packed with {packed}, and single records of such a file cannot "
            f"be read. {conversion.way_on(directory, names, _first(path, packed))}"
        )
    if fault:
        raise errors.UserError(
            f"{path} is {fault} at byte {offset} of {scan.num_bytes}, or no TFRecord "
            "file: copy it again from where the data set came from."
        )
    if examples.misfit:
        options = _options(misread[0], manifest.image_shape[2]) if misread else []
        way = conversion.way_on(directory, names, examples.example, options)
        keys = "Set `data.features` and `data.num_classes` right. Or: "
        raise errors.UserError(f"{examples.misfit}. {'' if misread else keys}{way}")
    return scan


def _options(picture: bytes, channels: int) -> list[str]:
    """Return with which flags a set is converted that holds a picture."""
    options = ["--encoding=encoded"]
    if example_fields.is_file(picture):
        decoded = careful.decode(picture, channels, rules.DEFAULT)
        options += [conversion.SKIP] if decoded.pixels is None else []
    return options


def _first(path: str, packed: str) -> bytes:
    """Return the first example of a packed file; b"" where it cannot be read."""
    try:
        first = tf.data.TFRecordDataset(path, packed).take(1)
        return next(untuned(first).as_numpy_iterator(), b"")
    except tf.errors.OpError:
        return b""
