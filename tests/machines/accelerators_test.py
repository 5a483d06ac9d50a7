"""The names of TPU slices against the vendor's tables, copied by hand."""

import pytest

from sam_pod import errors
from sam_pod.machines import accelerators

# name: chips, hosts, replicas, topology.
TABLE = {
    "v2-8": (4, 1, 8, "2x2"),
    "v2-32": (16, 4, 32, "4x4"),
    "v3-8": (4, 1, 8, "2x2"),
    "v3-32": (16, 4, 32, "4x4"),
    "v3-2048": (1024, 256, 2048, "32x32"),
    "v4-8": (4, 1, 4, "2x2x1"),
    "v4-16": (8, 2, 8, "2x2x2"),
    "v4-32": (16, 4, 16, "2x2x4"),
    "v4-64": (32, 8, 32, "2x4x4"),
    "v4-128": (64, 16, 64, "4x4x4"),
    "v4-512": (256, 64, 256, "4x8x8"),
    "v4-1024": (512, 128, 512, "8x8x8"),
    "v5p-8": (4, 1, 4, "2x2x1"),
    "v5p-256": (128, 32, 128, "4x4x8"),
    "v5p-2048": (1024, 256, 1024, "8x8x16"),
    "v5p-4096": (2048, 512, 2048, "8x16x16"),
    "v5p-12288": (6144, 1536, 6144, "16x16x24"),
    "v5litepod-1": (1, 1, 1, "1x1"),
    "v5litepod-8": (8, 1, 8, "2x4"),
    "v5litepod-16": (16, 4, 16, "4x4"),
    "v5litepod-256": (256, 64, 256, "16x16"),
    "v6e-4": (4, 1, 4, "2x2"),
    "v6e-8": (8, 1, 8, "2x4"),
    "v6e-16": (16, 4, 16, "4x4"),
    "v6e-64": (64, 16, 64, "8x8"),
    "tpu7x-2": (1, 1, 2, "1x1x1"),
    "tpu7x-8": (4, 1, 8, "2x2x1"),
    "tpu7x-16": (8, 2, 16, "2x2x2"),
    "tpu7x-128": (64, 16, 128, "4x4x4"),
    "tpu7x-18432": (9216, 2304, 18432, "16x24x24"),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_name_says_what_the_vendor_says(name):
    found = accelerators.parse(name)
    assert TABLE[name] == (found.chips, found.hosts, found.replicas, found.topology)
    assert found.is_pod == (found.hosts > 1)


@pytest.mark.parametrize("prefix", accelerators.GENERATIONS)
def test_all_known_names_parse_and_their_topology_has_all_chips(prefix):
    names = accelerators.known(prefix)
    assert len(names) == len(set(names)) >= 5
    for name in names:
        found = accelerators.parse(name)
        chips = 1
        for side in found.topology.split("x"):
            chips *= int(side)
        assert chips == found.chips == found.hosts * found.chips_per_host, name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("v4-33", "v4-32"),
        ("v4-31", "v4-32"),
        ("v4-032", "v4-32"),
        ("v4-0", "v4-8"),
        ("v4-1000000", "v4-8192"),
        ("v3-16", "v3-8"),
        ("v5e-16", "v5litepod-16"),
        ("v5lite-17", "v5litepod-16"),
        ("V4-32", "v4-32"),
        ("v6-4", "v6e-4"),
        ("v6e-12", "v6e-8"),
        ("v7x-8", "tpu7x-8"),
        ("tpu7x-4", "tpu7x-2"),
        ("tpu7x-8576", "tpu7x-8448"),  # A prime number of cubes, in a row of 268.
        ("v4", "v4-8"),
        ("", "v4-8"),
        ("v4-³", "v4-8"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, nearest):
    with pytest.raises(errors.UserError) as caught:
        accelerators.parse(name)
    assert str(caught.value).endswith(f"The nearest is {nearest}.")
    assert repr(name) in str(caught.value) and "\n" not in str(caught.value)
