"""A program of a run, what the compiler made of it, and what can be read from both."""

import dataclasses
import functools
import re
from collections.abc import Iterator

from sam_pod.lowering import private
from sam_pod.lowering.programs import Program
from sam_pod.preflight import hlo, memory, roofline
from sam_pod.preflight.compiler import Compiled
from sam_pod.preflight.topologies import Topology

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Measured:
    """One program on one topology."""

    program: Program
    compiled: Compiled
    topology: Topology
    micro_batches: int = 1

    @property
    def figures(self) -> dict:
        """Return the compiler's own figures."""
        return self.compiled.figures

    @property
    def error(self) -> str:
        """Return the compiler's complaint, or ''."""
        return self.compiled.error

    @property
    def lowered_text(self) -> str:
        """Return XLA's text of the program before compilation."""
        return private.XLA_COMPUTATION.get()(self.program.hlo).as_hlo_text()

    @functools.cached_property
    def lowered(self) -> hlo.Module:
        """Return the program before compilation."""
        return hlo.parse(self.lowered_text)

    @functools.cached_property
    def module(self) -> hlo.Module:
        """Return the compiled program."""
        return hlo.parse(self.compiled.text)

    @functools.cached_property
    def collectives(self) -> list[hlo.Collective]:
        """Return what is exchanged, after the compiler's fusion."""
        return hlo.collectives(self.module if self.compiled.text else self.lowered)

    @functools.cached_property
    def share(self) -> memory.Share:
        """Return what its memory holds."""
        return memory.share(self.program, self.figures, self.module)

    @functools.cached_property
    def roofline(self) -> roofline.Estimate:
        """Return the least time of a step."""
        return roofline.estimate(
            self.figures["flops"],
            self.figures["bytes_accessed"],
            self.collectives,
            self.program.num_replicas,
            self.topology.replica,
        )

    @property
    def needed_bytes(self) -> int | None:
        """Return the memory that it takes, or None when nothing is known of it."""
        if not self.error:
            return self.share.total
        used = re.search(r"[Uu]sed ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm", self.error)
        return round(float(used[1]) * _UNITS[used[2]]) if used else None

    @property
    def limit_bytes(self) -> int:
        """Return the memory of the device, by the compiler's word where it gave it."""
        limit = re.search(r"of ([\d.]+)([KMGT]?) hbm", self.error)
        if limit:
            return round(float(limit[1]) * _UNITS[limit[2]])
        return self.topology.replica.hbm_bytes

    @property
    def per_replica_batch_size(self) -> int:
        """Return the examples that each replica takes."""
        images = next(t for t in self.program.inputs if t.role == "images")
        return images.shape[0]

    @property
    def gradient_bytes(self) -> int:
        """Return the bytes of one gradient."""
        return sum(t.num_bytes for t in self.program.inputs if t.role == "weights")

    @property
    def donated_inputs(self) -> set[int]:
        """Return which inputs share their buffer with an output."""
        head = self.compiled.text.partition("\n")[0]
        aliases = re.search(r"input_output_alias=\{(.*?)\}, \w+=", head)
        listed = re.findall(r": \((\d+), \{\}", aliases[1]) if aliases else []
        return {int(i) for i in listed}

    def all_instructions(self) -> Iterator[hlo.Instruction]:
        """Return those before compilation, then those after."""
        yield from self.lowered.instructions()
        yield from self.module.instructions()

    def is_of_last_layer(self, op_name: str) -> bool:
        """Whether an operation is of the layer that makes the logits.

        It is float32 by design: logits and the loss are.
        """
        names = [t.name for t in self.program.inputs if t.role == "weights"]
        layer = names[-1].split("/")[-2] if "/" in names[-1] else names[-1]
        return any(re.fullmatch(rf"{layer}(_\d+)?", p) for p in op_name.split("/"))
