"""How a run draws the noise of its layers: by row, or as older versions did."""

from collections.abc import Mapping
from typing import Any

from sam_pod.models.network import Network

KEY = "model.noise"
BY_ROW = "by row"


def choose(network: Network, stored: Mapping[str, Any] | None) -> None:
    """Have a network draw as when its run began; a run that begins draws by row.

    Args:
        network: The network, changed in place.
        stored: The decisions made when the run began; None before.
    """
    if stored is not None and stored.get(KEY) != BY_ROW:
        network.draw_by_batch()


def decision(network: Network, stored: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what is to be remembered: nothing where nothing is drawn.

    Args:
        network: The network.
        stored: The decisions made when the run began; None before.
    """
    return {KEY: BY_ROW} if network.draws and stored is None else {}
