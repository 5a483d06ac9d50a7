"""Which weights decay: kernels, by what they are in their layers.

Biases and scales may have two axes, such as the biases of attention, and so do learned
positions: none of them decays, as in big_vision's code, which GSAM's is; nor do slopes
of a PReLU, as in its paper (arXiv 1502.01852), which pushes them to zero otherwise.
"""

from collections.abc import Mapping
from typing import Any

from absl import logging

from sam_pod.models import network as network_lib
from sam_pod.sam.roles import Role
from sam_pod.step.optimizers import Kernels

KEY = "optimizer.decays_on"
KERNELS = "kernels"


def choose(
    network: network_lib.Network, stored: Mapping[str, Any] | None = None
) -> Kernels:
    """Return which weights decay; a run of a version that went by axes goes on so.

    Args:
        network: The network.
        stored: The decisions made when the run began, which hold; None before.
    """
    by_axes, by_role = _by_axes(network), _by_role(network)
    if stored is not None and stored.get(KEY) != KERNELS:
        return by_axes
    if by_role != by_axes:
        logging.info(
            "Where kernels decay, %d of %d variables of two axes or more do: biases, "
            "scales, slopes and positions do not.",
            sum(by_role),
            sum(by_axes),
        )
    return by_role


def decision(network: network_lib.Network, kernels: Kernels) -> dict[str, str]:
    """Return what is to be remembered: nothing where axes say the same."""
    return {KEY: KERNELS} if kernels != _by_axes(network) else {}


def _by_axes(network: network_lib.Network) -> Kernels:
    return tuple(len(v.shape) > 1 for v in network.model.trainable_variables)


def _by_role(network: network_lib.Network) -> Kernels:
    pairs = zip(network.roles(), _by_axes(network), strict=True)
    return tuple(role is Role.KERNEL and has_axes for role, has_axes in pairs)
