"""The member of the SAM family that a config asks for, its radius, and when it acts."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections
from absl import logging

from sam_pod import errors, sam
from sam_pod.config import family_rules, window
from sam_pod.models import network as network_lib
from sam_pod.sam.variant import PLAIN, Variant
from sam_pod.step import rho as rho_lib
from sam_pod.step.cadence import Cadence


class Family(NamedTuple):
    """What of a recipe is a member's."""

    variant: Variant
    rho: rho_lib.Rho
    cadence: Cadence


def build(
    config: ml_collections.ConfigDict,
    network: network_lib.Network,
    epoch_steps: int,
) -> Family:
    """Return the member that acts, in a run of so many steps an epoch.

    Raises:
        UserError: a network without what the member perturbs, or a window in which it
            takes no step.
    """
    if config.sam.rho == 0:
        return Family(PLAIN, rho_lib.constant(0.0), Cadence())
    chosen = errors.lookup(_MEMBERS, config.sam.variant, "sam.variant")
    variant = chosen(config, network)
    if variant is PLAIN:
        return Family(PLAIN, rho_lib.constant(0.0), Cadence())
    start, end = window.of(config).steps(epoch_steps)
    _check_acts(config, start, end)
    is_to_the_end = end == config.num_epochs * epoch_steps
    cadence = Cadence(start, None if is_to_the_end else end, config.sam.every)
    return Family(variant, _rho(config, rho_lib.Window(start, end)), cadence)


def _check_acts(config: ml_collections.ConfigDict, start: int, end: int) -> None:
    if start >= end:
        raise errors.UserError(
            f"`sam.start` is {config.sam.start} and `sam.end` {config.sam.end}, "
            f"between which there is no step: `sam.variant` {config.sam.variant!r} "
            "would never act."
        )
    periods = {"sam.every": config.sam.every}
    if config.sam.variant == "looksam":
        periods["sam.looksam.k"] = config.sam.looksam.k
    for key, period in periods.items():
        if period > end - start:
            raise errors.UserError(
                f"`{key}` is {period}; it must be at most the {end - start} steps "
                "from `sam.start` to `sam.end`."
            )


def _rho(config: ml_collections.ConfigDict, steps: rho_lib.Window) -> rho_lib.Rho:
    rho, rho_min = config.sam.rho, config.sam.rho_min
    highest = config.optimizer.learning_rate
    falls = config.schedule.name == "polynomial"
    lowest = config.schedule.end * highest if falls else 0.0
    return {
        "constant": lambda: rho_lib.constant(rho),
        "linear": lambda: rho_lib.linear(rho_min, rho, steps),
        "cosine": lambda: rho_lib.cosine(rho, rho_min, steps),
        "learning_rate": lambda: rho_lib.learning_rate(rho, rho_min, highest, lowest),
    }[family_rules.schedule(config)]()


def _sam(config: ml_collections.ConfigDict, network: network_lib.Network) -> Variant:
    del network
    if config.sam.energy:
        return sam.sam.energy(config.sam.energy)
    return sam.sam.build(config.sam.norm, config.sam.layerwise)


def _sam_on(config: ml_collections.ConfigDict, network: network_lib.Network) -> Variant:
    roles = network.roles()
    try:
        variant = sam.sam_on.build(
            roles,
            config.sam.norm,
            reverse=config.sam.sam_on.reverse,
            adaptive=config.sam.sam_on.adaptive,
            eta=config.sam.sam_on.eta,
            layerwise=config.sam.layerwise == "trust",
        )
    except ValueError as error:
        raise errors.UserError(
            f"`sam.variant` is 'sam_on', and {error}; take another member."
        ) from error
    # A normalization of a class that is not Keras' own is not known as one.
    logging.info(
        "`sam.variant` 'sam_on' perturbs %d of %d variables.",
        sum(variant.perturbs or (True,) * len(roles)),
        len(roles),
    )
    return variant


_Build = Callable[[ml_collections.ConfigDict, network_lib.Network], Variant]
_MEMBERS: dict[str, _Build] = {
    "sam": _sam,
    "random": lambda config, network: sam.random.build(),
    "asam": lambda config, network: sam.asam.build(
        network.roles(),
        config.sam.asam.eta,
        config.sam.norm,
        layerwise=config.sam.layerwise == "trust",
    ),
    "gsam": lambda config, network: sam.gsam.build(
        config.sam.gsam.alpha, config.sam.gsam.minimizes
    ),
    "looksam": lambda config, network: sam.looksam.build(
        config.sam.looksam.k, config.sam.looksam.alpha, config.sam.layerwise
    ),
    "esam": lambda config, network: sam.esam.build(
        config.sam.esam.beta, config.sam.esam.gamma, config.sam.esam.norm
    ),
    "wsam": lambda config, network: sam.wsam.build(
        config.sam.wsam.gamma, decoupled=config.sam.wsam.decoupled
    ),
    "sam_on": _sam_on,
    "friendly": lambda config, network: sam.friendly.build(
        config.sam.friendly.sigma, config.sam.friendly.decay
    ),
    "vasso": lambda config, network: sam.vasso.build(config.sam.vasso.theta),
    "msam": lambda config, network: sam.msam.build(),
}
