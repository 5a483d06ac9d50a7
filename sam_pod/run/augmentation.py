"""The augmentation that a config asks for, and whether data and batch allow it."""

from collections.abc import Sequence

import ml_collections

from sam_pod import errors
from sam_pod.data import augment
from sam_pod.data.stored import manifest as manifest_lib


def check_names(config: ml_collections.ConfigDict) -> None:
    """Refuse names that choose nothing, or exclude each other.

    Raises:
        UserError: with the key.
    """
    augment.build(config.data.augment, _options(config, (), 1))


def build(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    image_shape: tuple[int, int, int],
    num_replicas: int,
) -> augment.Augmentation:
    """Return the augmentation of training.

    Args:
        config: A validated config.
        manifest: The manifest of the data.
        image_shape: (H, W, C) of the images that the model sees.
        num_replicas: The number of replicas that share a global batch.

    Raises:
        UserError: images or batches that it cannot work on.
    """
    built = augment.build(
        config.data.augment, _options(config, manifest.mean, len(manifest.classes))
    )
    side = max(image_shape[:2])
    if "crop" in built.names and config.data.crop_padding > side:
        raise errors.UserError(
            f"`data.crop_padding` is {config.data.crop_padding}; it must be at most "
            f"the larger side of the images, {side}."
        )
    least = min(image_shape[:2])
    reflects = "crop" in built.names and config.data.crop_fill == "reflect"
    if reflects and config.data.crop_padding >= least:
        raise errors.UserError(
            f"`data.crop_padding` is {config.data.crop_padding} and `data.crop_fill` "
            f"'reflect', which has {least - 1} pixels to show beside the outermost: it "
            "must be at most that, or take 'zero'."
        )
    wants_color = {"autoaugment", "randaugment", "color_jitter"} & built.names
    if wants_color and image_shape[2] not in (1, 3):
        raise errors.UserError(
            f"`data.augment` is {config.data.augment!r}, and the images have "
            f"{image_shape[2]} channels: {min(wants_color)!r} must have 1 (grey) or 3 "
            "(red, green, blue); leave it out."
        )
    if built.mixes_pairs:
        _check_pairs(config, num_replicas)
    return built


def batch_unit(config: ml_collections.ConfigDict) -> int:
    """Return the number by which a replica's batch must be divisible."""
    pairs = augment.mixes_pairs(augment.parse(config.data.augment))
    return config.sam.micro_batches * (2 if pairs else 1)


def _options(
    config: ml_collections.ConfigDict, mean: Sequence[float], num_classes: int
) -> augment.Options:
    return augment.Options(
        crop_padding=config.data.crop_padding,
        crop_fill=config.data.crop_fill,
        brightness_delta=config.data.brightness_delta,
        autoaugment_policy=config.data.autoaugment_policy,
        policy_place=config.data.policy_place,
        randaugment_layers=config.data.randaugment_layers,
        randaugment_magnitude=config.data.randaugment_magnitude,
        cutout_size=config.data.cutout_size,
        cutout_fill=mean,
        mixup_alpha=config.data.mixup_alpha,
        cutmix_alpha=config.data.cutmix_alpha,
        label_smoothing=config.data.label_smoothing,
        num_classes=num_classes,
    )


def _check_pairs(config: ml_collections.ConfigDict, num_replicas: int) -> None:
    """Refuse parts of a batch that would leave an example without its neighbour."""
    parts = num_replicas * config.sam.micro_batches
    if config.global_batch_size // num_replicas % batch_unit(config):
        raise errors.UserError(
            f"`data.augment` is {config.data.augment!r}, which mixes neighbours, and "
            f"{num_replicas} replicas of {config.sam.micro_batches} micro-batches take "
            f"{config.global_batch_size // parts} examples each: choose a "
            f"`global_batch_size` that is a multiple of {2 * parts}."
        )
