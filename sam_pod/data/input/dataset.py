"""The data set that a config names: what it holds, and how it is read."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.data import augment
from sam_pod.data.input import foreign, opening, pipeline, reading
from sam_pod.data.stored import features, grey, records, wrong_labels
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.machines import host_memory
from sam_pod.models import peek

CHANNELS = "data.channels"


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that was checked."""

    directory: str
    manifest: manifest_lib.Manifest
    view: reading.View
    is_foreign: bool  # Not written by `prepare`.

    def first_record(self) -> tf.Tensor:
        """Return the first record of the training files."""
        reader = reading.Reader(self.directory, self.manifest, "train", self.view)
        return reader.records.read(tf.constant(0, tf.int64))

    def splits(self, held_out: int | None) -> dict[str, pipeline.Split]:
        """Return the splits 'train', 'test' and, where something validates, another.

        Args:
            held_out: The number of examples, as returned by `held_out`.

        Raises:
            UserError: as `pipeline.splits`.
        """
        return pipeline.splits(self.directory, self.manifest, held_out, self.view)


def is_foreign(config: ml_collections.ConfigDict) -> bool:
    """Return whether the data were not written by `prepare`."""
    return bool(config.data.files.train)


def held_out(config: ml_collections.ConfigDict) -> int | None:
    """Return how many training examples are for validation; 0 where there is none.

    It is None where the set has a split of its own, called 'validation' in the
    manifest.
    """
    return {"split": None, "none": 0}.get(
        config.data.validation, config.data.validation_examples
    )


def read_manifest(
    config: ml_collections.ConfigDict,
    raise_if_stopped: Callable[[], object] = lambda: None,
) -> manifest_lib.Manifest:
    """Return the data set's manifest.

    Args:
        config: A validated config.
        raise_if_stopped: A function called after each file that is scanned; what it
            raises ends the scan.

    Raises:
        UserError: there is none, its name is not `data.name`, or its labels have not
            the noise that `data.label_noise` asks for.
    """
    if is_foreign(config):
        _check_noise(config, None)
        return foreign.read(config.data.dir, _layout(config), raise_if_stopped)[0]
    directory = config.data.dir
    manifest = manifest_lib.read(directory)
    if manifest.name != config.data.name:
        raise errors.UserError(
            f"`data.dir` {directory} holds {manifest.name!r}, but `data.name` is "
            f"{config.data.name!r}: make them agree."
        )
    _check_noise(config, manifest.label_noise)
    return manifest


def _check_noise(
    config: ml_collections.ConfigDict, noise: Mapping[str, Any] | None
) -> None:
    wanted, kind = config.data.label_noise, config.data.label_noise_kind
    if not wanted:
        return
    found = noise or {"rate": 0.0, "kind": kind}
    if (wanted, kind) != (found["rate"], wrong_labels.kind(found)):
        raise errors.UserError(
            f"`data.label_noise` is {wanted} ({kind}), and {found['rate']} "
            f"({wrong_labels.kind(found)}) of the training labels in `data.dir` "
            f"{config.data.dir} are flipped: give another folder, where `prepare "
            f"--label_noise={wanted} --label_noise_kind={kind}` has written or the run "
            "may."
        )


def load(config: ml_collections.ConfigDict) -> DataSet:
    """Return the data set, which is checked.

    Raises:
        UserError: there is none, it is damaged, its name is not `data.name`, or its
            images need a size.
    """
    directory = config.data.dir
    if is_foreign(config):
        _check_noise(config, None)
        manifest, offsets = foreign.read(directory, _layout(config))
        names = _names(config)
    else:
        manifest, names = read_manifest(config), features.PREPARED
        offsets = opening.read(directory, manifest)
    if channels(config, manifest) != config.data.channels:
        logging.info(
            "The images are grey, and `model.name` %s takes one channel: they are read "
            "as `data.channels` 1.",
            config.model.name,
        )
    view = reading.View(
        image_size=config.data.image_size,
        channels=channels(config, manifest),
        random_parts=sees_parts(config),
        central_fraction=config.data.central_fraction,
        is_bicubic=config.data.interpolation == "bicubic",
        mirrors="flip" in augment.parse(config.data.augment),
        names=names,
        offsets=offsets,
    )
    view = _held_if_it_fits(config, manifest, view)
    return DataSet(directory, manifest, view, is_foreign(config))


def as_decided(
    config: ml_collections.ConfigDict, decisions: Mapping[str, Any] | None
) -> ml_collections.ConfigDict:
    """Return the config with the channels on which the run decided when it began.

    Args:
        config: A validated config.
        decisions: The workdir's decisions by config key; None before a run begins.

    Raises:
        UserError: the workdir has an impossible decision.
    """
    decided = (decisions or {}).get(CHANNELS, 0)
    if decided not in (0, 1, 3):
        raise errors.UserError(
            f"The workdir says that `{CHANNELS}` was decided to be "
            f"{str(decided)[:40]!r}; it must be 0, 1 or 3: put back what was written, "
            "or give another --workdir."
        )
    if config.data.channels or not decided:
        return config
    found = config.copy_and_resolve_references()
    found.data.channels = decided
    return found


def image_shape(
    config: ml_collections.ConfigDict, manifest: manifest_lib.Manifest
) -> tuple[int, int, int]:
    """Return (H, W, C) of the images that the model sees.

    Raises:
        UserError: images of any size, or parts of any shape, and no size is set.
    """
    shape = reading.image_shape(
        manifest, config.data.image_size, channels(config, manifest)
    )
    if sees_parts(config) and shape[0] != shape[1]:
        raise errors.UserError(
            f"`data.augment` has 'inception', whose parts are scaled to squares, and "
            f"the images are {shape[0]}x{shape[1]}: set `data.image_size`."
        )
    return shape


def channels(config: ml_collections.ConfigDict, manifest: manifest_lib.Manifest) -> int:
    """Return how many channels the model sees; 0 for those that are stored.

    Grey images that are stored as colours are grey for a model of one channel.

    Raises:
        UserError: the data cannot be made so.
    """
    wanted, stored = config.data.channels, manifest.image_shape[2]
    if wanted and wanted != stored and stored not in (1, 3):
        raise errors.UserError(
            f"`data.channels` is {wanted}, and the images have {stored}: set it to 0."
        )
    if wanted or stored != 3 or not _is_grey(manifest):
        return wanted
    return 1 if peek.input_channels(config.model.name) == 1 else 0


def _is_grey(manifest: manifest_lib.Manifest) -> bool:
    """Return whether all channels are the same, as mean and deviation show."""
    return len(set(manifest.mean)) == len(set(manifest.std)) == 1


def seen(
    config: ml_collections.ConfigDict, manifest: manifest_lib.Manifest
) -> manifest_lib.Manifest:
    """Return the manifest with mean and deviation of the channels that the model sees.

    Raises:
        UserError: colours are made grey, of which no deviation is known.
    """
    wanted = channels(config, manifest) or manifest.image_shape[2]
    mixes = wanted < len(manifest.std) and len(set(manifest.std)) > 1
    standardizes = config.data.standardize or config.model.input_range == "standardized"
    if mixes and standardizes:
        raise errors.UserError(
            f"`data.channels` is {wanted} and `data.standardize` is True, but the data "
            "are in colours, and how far grey values deviate is not known: prepare "
            "them with --channels=1, or set `data.standardize` to False."
        )
    mean, std = (grey.statistic(v, wanted) for v in (manifest.mean, manifest.std))
    return dataclasses.replace(manifest, mean=mean, std=std)


def sees_parts(config: ml_collections.ConfigDict) -> bool:
    """Return whether training sees random parts of images."""
    return "inception" in augment.parse(config.data.augment)


def _held_if_it_fits(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    view: reading.View,
) -> reading.View:
    sizes = {split: manifest.num_examples(split) for split in manifest.splits}
    validation = held_out(config)
    images = sizes["train"] + sizes["test"]
    if view.random_parts:  # Images that are seen in parts cannot be held.
        images = sizes["test"] + (validation or 0)
    if validation is None:
        images += sizes.get(records.VALIDATION, 0)
    needed = images * math.prod(image_shape(config, manifest))
    share = config.data.memory_fraction * host_memory.total_bytes()
    if needed <= share:
        return view
    logging.info(
        "The images, decoded, would take %.1f GB, above `data.memory_fraction` of this "
        "machine's memory (%.1f GB): they are read when they are needed.",
        needed / 1e9,
        share / 1e9,
    )
    return dataclasses.replace(view, is_held=False)


def _names(config: ml_collections.ConfigDict) -> features.Features:
    return features.Features(
        config.data.features.image,
        config.data.features.label,
        config.data.features.label_offset,
    )


def _layout(config: ml_collections.ConfigDict) -> foreign.ForeignFiles:
    return foreign.ForeignFiles(
        name=config.data.name,
        patterns={
            split: config.data.files[split]
            for split in (*records.SPLITS, records.VALIDATION)
            if config.data.files[split]
        },
        names=_names(config),
        num_classes=config.data.num_classes,
    )
