"""The step that a config asks for."""

import functools
from collections.abc import Mapping
from typing import Any

import ml_collections
from absl import logging

from sam_pod import errors, wording
from sam_pod.data.input import dataset, pipeline
from sam_pod.data.prepare import job
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.input_range import decision, looks
from sam_pod.machines import groups, replicas
from sam_pod.models import ends, freezing, head, image_layers, model_file, table
from sam_pod.models import network as network_lib
from sam_pod.run import augmentation, decayed, drawn, family
from sam_pod.step import averaging, optimizers, rate_factors, schedules
from sam_pod.step.recipe import Recipe


def check_names(config: ml_collections.ConfigDict, num_replicas: int) -> None:
    """Refuse a name that chooses nothing, before any data is read or prepared.

    Raises:
        UserError: with the key and the nearest name.
    """
    groups.size(config.sam.sync, num_replicas)
    if not dataset.is_foreign(config):
        job.check_name(config.data.name, config.data.dir)
    table.check_name(config.model.name)
    optimizers.build(config)
    schedules.build(config, steps_per_epoch=1)
    augmentation.check_names(config)
    decision.check_names(config)


def recipe(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    num_replicas: int,
    *,
    decisions: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of the config, on this data.

    Args:
        config: A validated config.
        manifest: The manifest of the data.
        num_replicas: The number of replicas that share the global batch.
        decisions: The run's decisions when it began; None before it begins.

    Raises:
        UserError: as `build_recipe`, or nothing is left to train on.
    """
    splits = pipeline.splits(config.data.dir, manifest, dataset.held_out(config))
    steps = pipeline.steps_per_epoch(splits["train"], config.global_batch_size)
    return build_recipe(config, manifest, steps, num_replicas, decisions=decisions)


def recipe_alone(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    *,
    decisions: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe for one replica, which is a group of any size by itself.

    Args:
        config: A validated config.
        manifest: The manifest of the data.
        decisions: The run's decisions when it began; None before it begins.

    Raises:
        UserError: as `recipe`.
    """
    if config.sam.sync.isdecimal():  # A size that need not divide one replica.
        config = config.copy_and_resolve_references()
        config.sam.sync = "global"
    return recipe(config, manifest, 1, decisions=decisions)


def build_recipe(
    config: ml_collections.ConfigDict,
    manifest: manifest_lib.Manifest,
    epoch_steps: int,
    num_replicas: int = 1,
    *,
    decisions: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of the config.

    Args:
        config: A validated config.
        manifest: The manifest of the data.
        epoch_steps: The steps of an epoch.
        num_replicas: The replicas of the run.
        decisions: The run's decisions when it began; None before it begins.

    Raises:
        UserError: a name that is not known, or a model that does not fit the data.
    """
    image_shape = dataset.image_shape(config, manifest)
    manifest = dataset.seen(config, manifest)
    num_classes = _num_classes(config, manifest)
    augmented = augmentation.build(config, manifest, image_shape, num_replicas)

    network = _network(config, image_shape, num_classes, num_replicas)
    is_file = config.model.name not in table.MODELS
    if is_file:
        _check_file(config.model.name, network, num_classes, decisions is not None)
    input_range = decision.decide(
        config,
        network.model,
        looks.Pixels(image_shape, tuple(manifest.mean), tuple(manifest.std)),
        is_file=is_file,
        stored=decisions,
    )

    member = family.build(config, network, epoch_steps)
    drawn.choose(network, decisions)
    kernels = decayed.choose(network, decisions)
    return Recipe(
        network=network,
        optimizer=_optimizer(config, network, kernels),
        schedule=schedules.build(config, epoch_steps),
        augmentation=augmented,
        input_range=input_range,
        variant=member.variant,
        rho=member.rho,
        cadence=member.cadence,
        groups=groups.of(config.sam.sync),
        micro_batches=config.sam.micro_batches,
        accumulate_steps=config.accumulate_steps,
        weight_decay=config.optimizer.weight_decay,
        decays_all=config.optimizer.decays_in == "loss_all",
        kernels=kernels,
        average=averaging.Average(config.ema.decay, config.ema.warmup),
        clip_norm=config.optimizer.clip_norm,
        seed=config.seed,
    )


def _check_file(
    path: str, network: network_lib.Network, num_classes: int, begun: bool
) -> None:
    ends.check_logits(path, network, num_classes, begun=begun)
    image_layers.check_mixing(path, network.model, begun=begun)


def _num_classes(
    config: ml_collections.ConfigDict, manifest: manifest_lib.Manifest
) -> int:
    if len(manifest.classes) == 1:
        raise errors.UserError(
            f"The data in {config.data.dir} have one class, {manifest.classes[0]!r}: "
            "there is nothing to learn; prepare data of two or more."
        )
    return len(manifest.classes)


def _network(
    config: ml_collections.ConfigDict,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_replicas: int,
) -> network_lib.Network:
    network = _whole_network(config, image_shape, num_classes, num_replicas)
    patterns, norms = config.model.frozen, config.model.freeze_batch_norm
    recomputes = config.model.remat == "blocks"
    if not patterns and not norms:
        if recomputes:
            return network.again(recomputes=True)
        return network
    every = len(network.initial_weights())
    count = freezing.freeze(
        network.model,
        patterns,
        batch_norm=norms,
        is_of_file=model_file.is_path(config.model.name),
    )
    frozen = network.again(recomputes=recomputes)
    logging.info(
        "%s frozen; %d of %d variables train.",
        wording.counted(count, "layer is", "layers are"),
        len(frozen.initial_weights()),
        every,
    )
    return frozen


def _whole_network(
    config: ml_collections.ConfigDict,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_replicas: int,
) -> network_lib.Network:
    group_size = groups.size(config.sam.sync, num_replicas)
    average = functools.partial(replicas.group_mean, size=group_size)
    shares = config.model.batch_norm == "global" and group_size > 1
    return table.build(
        config.model.name,
        image_shape,
        num_classes,
        dtype=config.dtype,
        seed=config.seed,
        batch_norm_average=average if shares else None,
        over_all_replicas=group_size == num_replicas,
        trusted_modules=config.model.trusted_modules,
        settings=_of_networks(config),
    )


def _optimizer(
    config: ml_collections.ConfigDict,
    network: network_lib.Network,
    kernels: optimizers.Kernels,
) -> optimizers.Optimizer:
    """Return the optimizer, with the last layer's own rate where there is one."""
    make = functools.partial(optimizers.build, config)
    factor = config.optimizer.head_factor
    if factor == 1:
        return make(kernels)
    last = set(head.names(network.model))
    mask = tuple(name in last for name in network.initial_weights())
    if not any(mask):
        raise errors.UserError(
            f"`optimizer.head_factor` is {factor}, and the model has no last layer "
            "that trains: leave it at 1."
        )
    factors = [factor if is_last else 1.0 for is_last in mask]
    return rate_factors.with_factors(make, kernels, factors)


def _of_networks(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Return the keys of section `model` that some networks read."""
    return {
        "shortcut": config.model.shortcut,
        "normalization": config.model.normalization,
        "widths": config.model.widths,
        "shake_drop": config.model.shake_drop,
    }
