"""The data set that a config names: what it holds, and how it is to be read."""

import dataclasses
import math
from collections.abc import Callable

import ml_collections
import tensorflow as tf
from absl import logging

from sam_pod import errors, memory
from sam_pod.data import (
    augment,
    features,
    foreign,
    opening,
    pipeline,
    reading,
    records,
)
from sam_pod.data import manifest as manifest_lib


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that was checked."""

    directory: str
    manifest: manifest_lib.Manifest
    how: reading.Reading
    is_foreign: bool  # Not written by `prepare`.

    def first_record(self) -> tf.Tensor:
        """Return the first record of the training files."""
        reader = reading.Reader(self.directory, self.manifest, "train", self.how)
        return reader.records.read(tf.constant(0, tf.int64))

    def splits(self, held_out: int | None) -> dict[str, pipeline.Split]:
        """Return the splits 'train', 'validation' and 'test'.

        Args:
            held_out: As returned by `held_out`.

        Raises:
            UserError: as `pipeline.splits`.
        """
        return pipeline.splits(self.directory, self.manifest, held_out, self.how)


def is_foreign(config: ml_collections.ConfigDict) -> bool:
    """Return whether the data were not written by `prepare`."""
    return bool(config.data.files.train)


def held_out(config: ml_collections.ConfigDict) -> int | None:
    """Return how many training examples are for validation; None where it has its own.

    Its own split is the one called 'validation' in the manifest.
    """
    has_own = config.data.validation == "split"
    return None if has_own else config.data.validation_examples


def read_manifest(
    config: ml_collections.ConfigDict, check: Callable[[], object] = lambda: None
) -> manifest_lib.Manifest:
    """Return what the data set holds.

    Args:
        config: Validated.
        check: Called after each file that is scanned; what it raises ends the scan.

    Raises:
        UserError: there is none, or its name is not `data.name`.
    """
    if is_foreign(config):
        return foreign.read(config.data.dir, _layout(config), check)[0]
    directory = config.data.dir
    manifest = manifest_lib.read(directory)
    if manifest.name != config.data.name:
        raise errors.UserError(
            f"`data.dir` {directory} holds {manifest.name!r}, but `data.name` is "
            f"{config.data.name!r}: make them agree."
        )
    return manifest


def load(config: ml_collections.ConfigDict) -> DataSet:
    """Return the data set, which is checked.

    Raises:
        UserError: there is none, it is damaged, its name is not `data.name`, or its
            images need a size.
    """
    directory = config.data.dir
    if is_foreign(config):
        manifest, offsets = foreign.read(directory, _layout(config))
        names = _names(config)
    else:
        manifest, names = read_manifest(config), features.PREPARED
        offsets = opening.read(directory, manifest)
    how = reading.Reading(
        image_size=config.data.image_size,
        random_parts=sees_parts(config),
        mirrors="flip" in augment.parse(config.data.augment),
        names=names,
        offsets=offsets,
    )
    how = _held_if_it_fits(config, manifest, how)
    return DataSet(directory, manifest, how, is_foreign(config))


def image_shape(
    config: ml_collections.ConfigDict, manifest: manifest_lib.Manifest
) -> tuple[int, int, int]:
    """Return (H, W, C) of what the model sees.

    Raises:
        UserError: images of any size, or parts of any shape, and no size is set.
    """
    shape = reading.image_shape(manifest, config.data.image_size)
    if sees_parts(config) and shape[0] != shape[1]:
        raise errors.UserError(
            f"`data.augment` has 'inception', whose parts are scaled to squares, and "
            f"the images are {shape[0]}x{shape[1]}: set `data.image_size`."
        )
    return shape


def sees_parts(config: ml_collections.ConfigDict) -> bool:
    """Return whether training sees random parts of images."""
    return "inception" in augment.parse(config.data.augment)


def _held_if_it_fits(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    how: reading.Reading,
) -> reading.Reading:
    sizes = {split: manifest.num_examples(split) for split in manifest.splits}
    validation = held_out(config)
    images = sizes["train"] + sizes["test"]
    if how.random_parts:  # Of what is seen in parts, nothing can be held.
        images = sizes["test"] + (validation or 0)
    if validation is None:
        images += sizes.get(records.VALIDATION, 0)
    needed = images * math.prod(image_shape(config, manifest))
    share = config.data.memory_fraction * memory.total_bytes()
    if needed <= share:
        return how
    logging.info(
        "The images, decoded, would take %.1f GB, above `data.memory_fraction` of this "
        "machine's memory (%.1f GB): they are read when they are needed.",
        needed / 1e9,
        share / 1e9,
    )
    return dataclasses.replace(how, is_held=False)


def _names(config: ml_collections.ConfigDict) -> features.Features:
    return features.Features(
        config.data.features.image,
        config.data.features.label,
        config.data.features.label_offset,
    )


def _layout(config: ml_collections.ConfigDict) -> foreign.Layout:
    return foreign.Layout(
        name=config.data.name,
        patterns={split: config.data.files[split] for split in records.SPLITS},
        names=_names(config),
        num_classes=config.data.num_classes,
    )
