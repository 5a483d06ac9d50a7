"""What --topology and --accelerator_type mean to the TPU compiler."""

import dataclasses
import re
from typing import Any

from sam_pod import errors
from sam_pod.machines import accelerators
from sam_pod.preflight import chips

_MEGACORE = ("v4", "v5p")  # Both cores of a chip are one device, and one replica.


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice to compile for."""

    accelerator: accelerators.Accelerator

    @property
    def name(self) -> str:
        """Return the value of --topology, such as 'v5e:4x4'."""
        return f"{self.accelerator.generation}:{self.accelerator.topology}"

    @property
    def num_replicas(self) -> int:
        """Return how many devices, which are replicas, it has."""
        return self.accelerator.replicas

    @property
    def replica(self) -> chips.Device:
        """Return the figures of the device that one replica runs on."""
        return chips.CHIPS[self.accelerator.generation].replica

    @property
    def compiler_name(self) -> str:
        """Return libtpu's name for it."""
        return self.name

    @property
    def compiler_options(self) -> dict[str, Any]:
        """Return the options that libtpu needs beside the name."""
        options: dict[str, Any] = {}
        if self.accelerator.generation in _MEGACORE:
            options["chip_config_name"] = "megacore"
        if self.accelerator.chips == 1:
            options["chips_per_host_bounds"] = [1, 1, 1]
        return options


def parse(text: str) -> Topology:
    """Return the slice of a topology such as v5e:4x4, or of an accelerator type.

    Raises:
        UserError: there is no such slice; names the nearest one.
    """
    if ":" not in text:
        return Topology(accelerators.parse(text))
    generation, _, sides = text.partition(":")
    if generation not in chips.CHIPS and generation in accelerators.GENERATIONS:
        guess = f"{accelerators.GENERATIONS[generation]}:{sides}"
        try:
            guess = f"{guess} ({parse(guess).accelerator.name})"
        except errors.UserError:
            guess = f"{accelerators.GENERATIONS[generation]}:..."
        raise errors.UserError(
            f"--topology={text} is half an accelerator type; the nearest is {guess}."
        )
    if generation not in chips.CHIPS:
        guess = errors.nearest(generation.lower(), chips.CHIPS) or "v5e"
        raise errors.UserError(
            f"--topology={text} names the generation {generation!r}; it must be one of "
            f"{sorted(chips.CHIPS)}, as in v5e:4x4. The nearest is {guess!r}."
        )
    prefix = next(p for p, g in accelerators.GENERATIONS.items() if g == generation)
    known = [accelerators.parse(name) for name in accelerators.known(prefix)]
    for accelerator in known:
        if accelerator.topology == sides:
            return Topology(accelerator)
    numbers = [int(n) for n in re.findall(r"\d+", sides)[:3]] or [1]
    chip_count = 1
    for number in numbers:
        chip_count *= number
    nearest = min(known, key=lambda a: abs(a.chips - chip_count))
    raise errors.UserError(
        f"--topology={text} is no slice of {generation}; the nearest is "
        f"{generation}:{nearest.topology} ({nearest.name})."
    )
