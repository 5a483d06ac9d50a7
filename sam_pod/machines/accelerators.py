"""What the name of a TPU slice says: its chips, replicas, hosts and topology.

Sources: the tables of cloud.google.com/tpu/docs/v2, v3, v4, v5e, v5p and v6e. Names of
v2, v3, v4 and v5p count TensorCores, two a chip; names of v5e and v6e count chips.
TensorFlow drives the two cores of a v4 or v5p chip as one device ("megacore").

TPU7x: docs.cloud.google.com/tpu/docs/tpu7x (two TensorCores a chip, each a device; VMs
of four chips; pods of 9216). Its names, which count TensorCores, its single chip and
the usual topology of each size are those of Google's XPK: xpk.core.
system_characteristics in github.com/AI-Hypercomputer/xpk.
"""

import dataclasses
import itertools

from sam_pod import errors

# The generations by the word before the dash of --accelerator_type.
GENERATIONS = {
    "v2": "v2",
    "v3": "v3",
    "v4": "v4",
    "v5litepod": "v5e",
    "v5p": "v5p",
    "v6e": "v6e",
    "tpu7x": "tpu7x",
}
_PREFIXES = {generation: prefix for prefix, generation in GENERATIONS.items()}
_PREFIXES["v5lite"] = "v5litepod"
_PREFIXES |= dict.fromkeys(("TPU7x", "tpu7", "v7", "v7x", "ironwood"), "tpu7x")
# Their names count cores.
_TWO_CORES = frozenset({"v2", "v3", "v4", "v5p", "tpu7x"})
_TWO_DEVICES = frozenset({"v2", "v3", "tpu7x"})  # Each core is a device, and a replica.
# What TensorFlow's runtime trains on: it never did on v6e (launch/tpu/runtimes.py), and
# TPU7x's page says that it is not supported there.
OF_TENSORFLOW = frozenset({"v2", "v3", "v4", "v5e", "v5p"})
_CHIPS_PER_HOST = 4
# v4, v5p and TPU7x are torn out of a torus in cubes of 4x4x4, or in parts of one cube.
_CUBE_CHIPS = 64
_MOST_CHIPS = {"v4": 4096, "v5p": 6144, "tpu7x": 9216}
_LONGEST_SIDE = {"tpu7x": 256}
_PARTS_OF_A_CUBE = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4"}
_SINGLE_CHIPS = {"tpu7x": {1: "1x1x1"}}
_FLAT = {  # By generation: topology by chips.
    "v2": {4: "2x2", 16: "4x4", 64: "8x8", 128: "8x16", 256: "16x16"},
    "v3": {
        4: "2x2",
        16: "4x4",
        32: "4x8",
        64: "8x8",
        128: "8x16",
        256: "16x16",
        512: "16x32",
        1024: "32x32",
    },
    "v5e": {
        1: "1x1",
        4: "2x2",
        8: "2x4",
        16: "4x4",
        32: "4x8",
        64: "8x8",
        128: "8x16",
        256: "16x16",
    },
}
_FLAT["v6e"] = _FLAT["v5e"]


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """A slice as its name describes it, such as v4-32."""

    name: str
    generation: str  # 'v2', 'v3', 'v4', 'v5e', 'v5p', 'v6e' or 'tpu7x'.
    chips: int
    topology: str  # Chips along each axis of the mesh, such as '2x2x4'.

    @property
    def replicas(self) -> int:
        """Return the devices: cores of v2, v3 and TPU7x, chips of others."""
        return self.chips * (2 if self.generation in _TWO_DEVICES else 1)

    @property
    def is_of_tensorflow(self) -> bool:
        """Whether TensorFlow's own runtime trains on it; JAX does on each."""
        return self.generation in OF_TENSORFLOW

    @property
    def hosts(self) -> int:
        """Return how many machines it should have.

        Ask the created slice (its networkEndpoints) for how many it has.
        """
        return -(-self.chips // self.chips_per_host)

    @property
    def chips_per_host(self) -> int:
        """Return the chips of each machine: 4, or all when one machine holds them."""
        if self.generation in ("v5e", "v6e") and self.chips <= 8:
            return self.chips
        return min(self.chips, _CHIPS_PER_HOST)

    @property
    def is_pod(self) -> bool:
        """Whether it has several hosts."""
        return self.hosts > 1


def parse(name: str) -> Accelerator:
    """Return the slice of an --accelerator_type.

    Raises:
        UserError: there is no such slice; names the nearest one.
    """
    prefix, _, size = name.partition("-")
    if prefix in GENERATIONS and size.isdecimal() and size == str(int(size)):
        generation = GENERATIONS[prefix]
        cores_per_chip = 2 if generation in _TWO_CORES else 1
        chips, rest = divmod(int(size), cores_per_chip)
        topology = "" if rest else _topology(generation, chips)
        if topology:
            return Accelerator(name, generation, chips, topology)
    guess = _nearest(name)
    raise errors.UserError(
        f"There is no accelerator type {name!r}; it must be like "
        f"v4-32, v5litepod-16, v6e-16 or tpu7x-8. The nearest is {guess}."
    )


def known(prefix: str) -> list[str]:
    """Return all accelerator types whose name begins with `prefix` and a dash."""
    generation = GENERATIONS[prefix]
    sizes = _FLAT.get(generation) or [
        *_parts(generation),
        *range(_CUBE_CHIPS, _MOST_CHIPS[generation] + 1, _CUBE_CHIPS),
    ]
    cores_per_chip = 2 if generation in _TWO_CORES else 1
    return [
        f"{prefix}-{chips * cores_per_chip}"
        for chips in sizes
        if _topology(generation, chips)
    ]


def _topology(generation: str, chips: int) -> str:
    if generation in _FLAT:
        return _FLAT[generation].get(chips, "")
    if chips in _parts(generation):
        return _parts(generation)[chips]
    cubes, rest = divmod(chips, _CUBE_CHIPS)
    if rest or not 0 < chips <= _MOST_CHIPS[generation]:
        return ""
    # The box of so many cubes whose longest side is shortest.
    boxes = [
        (a, b, cubes // (a * b))
        for a, b in itertools.product(range(1, 17), repeat=2)
        if a <= b and cubes % (a * b) == 0 and b <= cubes // (a * b)
    ]
    box = min(boxes, key=lambda sides: (sides[2], sides[1]))
    if 4 * box[2] > _LONGEST_SIDE.get(generation, 4 * box[2]):
        return ""
    return "x".join(str(4 * side) for side in box)


def _parts(generation: str) -> dict[int, str]:
    """Return the topologies of less than a cube, by chips."""
    return {**_SINGLE_CHIPS.get(generation, {}), **_PARTS_OF_A_CUBE}


def _nearest(name: str) -> str:
    prefix, _, size = name.partition("-")
    prefix = _PREFIXES.get(prefix, prefix)
    if prefix not in GENERATIONS:
        prefix = errors.nearest(prefix, GENERATIONS) or "v4"
    names = known(prefix)
    if not size.isdecimal():
        return names[0]
    return min(names, key=lambda known: abs(int(known.partition("-")[2]) - int(size)))
