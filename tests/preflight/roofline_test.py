"""A step takes as long as its slowest resource, and the exchange beside it."""

import dataclasses

import pytest

from sam_pod.preflight import hlo, roofline
from sam_pod.preflight.chips import CHIPS, Device
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu

DEVICE = Device(
    peak_flops_per_second=1e12,
    hbm_bytes=2**30,
    hbm_bytes_per_second=1e11,
    ici_bytes_per_second=1e9,
)


def exchange(num_bytes, groups=()):
    return hlo.Collective("all-reduce", (("x", num_bytes),), groups)


@pytest.mark.parametrize(
    ("flops", "accessed", "exchanged", "bound", "seconds"),
    [
        (2e12, 1e11, [], "compute", 2.0),
        (1e12, 3e11, [], "memory", 3.0),
        # Among four, each sends 2 x 3/4 of what it has.
        (1e12, 1e11, [exchange(2e9)], "interconnect", 1.0 + 3.0),
        (1e12, 1e11, [exchange(2e9, ((0, 1), (2, 3)))], "interconnect", 1.0 + 2.0),
        (1e12, 1e11, [exchange(1e8), exchange(1e8)], "compute", 1.0 + 0.3),
    ],
)
def test_the_slowest_resource_bounds(flops, accessed, exchanged, bound, seconds):
    found = roofline.estimate(flops, accessed, exchanged, 4, DEVICE)
    assert found.bound == bound
    assert found.step_seconds == pytest.approx(seconds)
    assert found.utilization == pytest.approx(flops / 1e12 / seconds)
    assert found.utilization <= 1


def test_one_replica_exchanges_nothing():
    found = roofline.estimate(1e12, 1e11, [exchange(1e12)], 1, DEVICE)
    assert found.interconnect_seconds == 0


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Device)][:1])
def test_a_faster_chip_is_never_slower(field):
    faster = dataclasses.replace(DEVICE, **{field: 2 * getattr(DEVICE, field)})
    slow, fast = (
        roofline.estimate(5e12, 1e11, [exchange(1e9)], 4, device)
        for device in (DEVICE, faster)
    )
    assert fast.step_seconds < slow.step_seconds


@needs_libtpu
def test_a_real_step_is_bound_by_what_the_compiler_counts():
    measured, chip = steps.sam_step(), CHIPS["v5e"]
    found, figures = measured.roofline, measured.figures
    assert found.memory_seconds == figures["bytes_accessed"] / chip.hbm_bytes_per_second
    assert found.compute_seconds == figures["flops"] / chip.peak_flops_per_second
    exchanged = sum(c.num_bytes for c in measured.exchanges)
    assert found.interconnect_seconds == pytest.approx(
        2 * 3 / 4 * exchanged / chip.ici_bytes_per_second
    )
    assert found.bound == "memory"
