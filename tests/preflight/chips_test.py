"""The table of chips agrees with itself, with launch and with published pods."""

import dataclasses

import pytest

from sam_pod.machines import accelerators
from sam_pod.preflight import chips

GENERATIONS = sorted(chips.CHIPS)


def test_every_generation_of_launch_has_a_chip():
    assert set(accelerators.GENERATIONS.values()) == set(chips.CHIPS)


@pytest.mark.parametrize("prefix", accelerators.GENERATIONS)
def test_chips_have_as_many_replicas_as_launch_counts(prefix):
    for name in accelerators.known(prefix):
        accelerator = accelerators.parse(name)
        chip = chips.CHIPS[accelerator.generation]
        assert accelerator.replicas == accelerator.chips * chip.replicas_per_chip


@pytest.mark.parametrize("prefix", accelerators.GENERATIONS)
def test_tori_have_the_axes_of_the_topologies_of_launch(prefix):
    accelerator = accelerators.parse(accelerators.known(prefix)[-1])
    axes = len(accelerator.topology.split("x"))
    assert chips.CHIPS[accelerator.generation].torus_dimensions == axes


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_replica_is_half_of_a_v2_v3_or_tpu7x_and_else_all_of_a_chip(generation):
    chip = chips.CHIPS[generation]
    parts = 2 if generation in ("v2", "v3", "tpu7x") else 1
    for field in dataclasses.fields(chips.Device):
        whole = getattr(chip, field.name)
        assert getattr(chip.replica, field.name) * parts == whole, field.name


@pytest.mark.parametrize("generation", GENERATIONS)
def test_figures_are_in_the_units_of_their_names(generation):
    """A figure in GB or in bits would be out of these ranges."""
    chip = chips.CHIPS[generation]
    assert 50 < chip.peak_flops_per_second / chip.hbm_bytes_per_second < 700
    assert 0.01 < chip.hbm_bytes / chip.hbm_bytes_per_second < 0.05
    assert 45e9 <= chip.ici_bytes_per_second / chip.ici_links <= 100e9
    assert chip.ici_links == 2 * chip.torus_dimensions
    assert "cloud.google.com/tpu/docs/" in chip.source


@pytest.mark.parametrize(
    ("generation", "units", "clock_hertz"),
    [("v2", 2, 700e6), ("v3", 4, 940e6), ("v4", 8, 1050e6), ("v5e", 4, 1.5e9)],
)
def test_the_peak_is_that_of_the_matrix_units(generation, units, clock_hertz):
    """Each of 128x128 multiply-adds; clocks of CACM, of ISCA and, for v5e, of BOOK."""
    peak = units * 128 * 128 * 2 * clock_hertz
    assert chips.CHIPS[generation].peak_flops_per_second == pytest.approx(peak, 0.01)


@pytest.mark.parametrize(
    ("generation", "pod_chips", "peak_flops_per_second"),
    [
        ("v3", 1024, 126e15),
        ("v4", 4096, 1.1e18),
        ("v6e", 256, 234.9e15),
        ("tpu7x", 9216, 42.5e18 / 2),  # Published for FP8, of which it makes twice.
    ],
)
def test_pods_have_their_published_peak(generation, pod_chips, peak_flops_per_second):
    peak = pod_chips * chips.CHIPS[generation].peak_flops_per_second
    assert peak == pytest.approx(peak_flops_per_second, 0.03)


@pytest.mark.parametrize(
    ("generation", "pod_chips", "bytes_per_second", "tolerance"),
    [
        ("v3", 1024, 340e12, 0.16),  # Sources disagree on v3 and v4, as chips.py says.
        ("v4", 4096, 1.1e15, 0.12),
        ("v5e", 256, 51.2e12, 0.001),
        ("v6e", 256, 102.4e12, 0.001),
    ],
)
def test_links_in_one_direction_make_the_all_reduce_of_a_pod(
    generation, pod_chips, bytes_per_second, tolerance
):
    """So the published bandwidth of an all-reduce counts each link once, too."""
    links = pod_chips * chips.CHIPS[generation].ici_bytes_per_second
    assert links == pytest.approx(bytes_per_second, tolerance)
