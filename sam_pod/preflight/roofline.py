"""How long a step takes, estimated from what it computes, touches and exchanges.

The roofline model (Williams, Waterman and Patterson, "Roofline", CACM 2009): a program
is bound by the slowest of its resources. The exchange is added to the others, since
each of SAM's two all-reduces must end before anything else can continue.
"""

import dataclasses
from collections.abc import Sequence

from sam_pod.preflight import chips, hlo


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds of one step on one replica, by resource."""

    compute_seconds: float
    memory_seconds: float
    interconnect_seconds: float
    flops: float
    peak_flops_per_second: float

    @property
    def step_seconds(self) -> float:
        """Return the time of a step."""
        return (
            max(self.compute_seconds, self.memory_seconds) + self.interconnect_seconds
        )

    @property
    def bound(self) -> str:
        """Return the resource that takes longest."""
        seconds = {
            "compute": self.compute_seconds,
            "memory": self.memory_seconds,
            "interconnect": self.interconnect_seconds,
        }
        return max(seconds, key=seconds.get)

    @property
    def utilization(self) -> float:
        """Return the share of the matrix units' peak that such a step would use."""
        return self.flops / self.peak_flops_per_second / self.step_seconds


def estimate(
    flops: float,
    bytes_accessed: float,
    collectives: Sequence[hlo.Collective],
    num_replicas: int,
    device: chips.Device,
) -> Estimate:
    """Return the times of one step at the device's full rates.

    Args:
        flops: The operations of one replica's program.
        bytes_accessed: The bytes by the compiler's count, that of all operands. Those
            in the fast memory beside the cores cost less, at a rate that is not
            published, so the time is an upper bound where memory is the bound.
        collectives: The program's collectives.
        num_replicas: The replicas of the slice.
        device: The device that a replica runs on.
    """
    interconnect = sum(
        _all_reduce_seconds(c.num_bytes, _group_size(c, num_replicas), device)
        for c in collectives
    )
    return Estimate(
        compute_seconds=flops / device.peak_flops_per_second,
        memory_seconds=bytes_accessed / device.hbm_bytes_per_second,
        interconnect_seconds=interconnect,
        flops=flops,
        peak_flops_per_second=device.peak_flops_per_second,
    )


def _group_size(collective: hlo.Collective, num_replicas: int) -> int:
    return max((len(group) for group in collective.groups), default=num_replicas)


def _all_reduce_seconds(num_bytes: int, size: int, device: chips.Device) -> float:
    # Reduce-scatter and all-gather: each sends all but its own part, over all links.
    return 2 * num_bytes * (size - 1) / size / device.ici_bytes_per_second
