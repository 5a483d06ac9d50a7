"""The names of slices: --topology and --accelerator_type, and what libtpu gets."""

import pytest

from sam_pod import errors
from sam_pod.machines import accelerators
from sam_pod.preflight import chips, topologies

# What is given: the topology's name, chips, replicas.
SLICES = {
    "v5e:2x2": ("v5e:2x2", 4, 4),
    "v5litepod-16": ("v5e:4x4", 16, 16),
    "v5litepod-1": ("v5e:1x1", 1, 1),
    "v5e:16x16": ("v5e:16x16", 256, 256),
    "v4-32": ("v4:2x2x4", 16, 16),
    "v4:2x2x2": ("v4:2x2x2", 8, 8),
    "v3-32": ("v3:4x4", 16, 32),
    "v2:2x2": ("v2:2x2", 4, 8),
    "v5p-256": ("v5p:4x4x8", 128, 128),
    "v6e-8": ("v6e:2x4", 8, 8),
    "tpu7x-8": ("tpu7x:2x2x1", 4, 8),
    "tpu7x:2x2x2": ("tpu7x:2x2x2", 8, 16),
}


@pytest.mark.parametrize("text", SLICES)
def test_a_slice_has_its_chips_and_replicas(text):
    found = topologies.parse(text)
    name, chip_count, replicas = SLICES[text]
    assert (found.name, found.accelerator.chips) == (name, chip_count)
    assert found.num_replicas == replicas
    assert topologies.parse(found.name) == found
    assert topologies.parse(found.accelerator.name) == found
    generation = name.partition(":")[0]
    assert found.replica == chips.CHIPS[generation].replica


@pytest.mark.parametrize("prefix", accelerators.GENERATIONS)
def test_every_known_slice_is_found_by_its_topology(prefix):
    for name in accelerators.known(prefix)[:12]:
        found = topologies.parse(name)
        assert topologies.parse(found.name).accelerator == accelerators.parse(name)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("v5e:3x3", "v5e:2x4 (v5litepod-8)"),
        ("v5e:4x5", "v5e:4x4 (v5litepod-16)"),
        ("v5e:2x2x2", "v5e:2x4 (v5litepod-8)"),
        ("v5e:", "v5e:1x1 (v5litepod-1)"),
        ("v5e:axb", "v5e:1x1 (v5litepod-1)"),
        ("v4:2x2", "v4:2x2x1 (v4-8)"),
        ("v4:4x4x5", "v4:4x4x4 (v4-128)"),
        ("v3:99999999999x99999999999", "v3:32x32 (v3-2048)"),
        ("v5litepod:4x4", "v5e:4x4 (v5litepod-16)"),
        ("v7:4x4", "'v2'"),
        ("v7x:2x2x1", "'tpu7x'"),
        ("TPU7x:2x2x1", "'tpu7x'"),
        ("tpu7x:2x2", "tpu7x:2x2x1 (tpu7x-8)"),
        ("V5E:4x4", "'v5e'"),
        (":4x4", "'v5e'"),
        ("v5litepod-17", "v5litepod-16"),
        ("v4-31", "v4-32"),
        ("", "v4-8"),
    ],
)
def test_an_unknown_slice_gets_the_nearest_in_one_line(text, nearest):
    with pytest.raises(errors.UserError) as caught:
        topologies.parse(text)
    line = str(caught.value)
    assert "\n" not in line and repr(text).strip("'") in line
    if nearest != "'v2'":  # Any of names that are alike will do.
        assert line.endswith(f"{nearest}.")


def test_libtpu_is_told_of_both_cores_and_of_single_chips():
    assert topologies.parse("v4-8").compiler_options == {"chip_config_name": "megacore"}
    assert topologies.parse("v5p-8").compiler_options == {
        "chip_config_name": "megacore"
    }
    assert topologies.parse("v5e:2x2").compiler_options == {}
    assert topologies.parse("v6e:1x1").compiler_options == {
        "chips_per_host_bounds": [1, 1, 1]
    }
