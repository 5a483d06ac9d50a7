"""A program of a run, its compiled form, and figures that can be read from both."""

import dataclasses
import functools
import re
from collections.abc import Iterator

from sam_pod.lowering import private
from sam_pod.lowering.programs import Program
from sam_pod.preflight import hlo, memory, roofline
from sam_pod.preflight.remembered import Compiled
from sam_pod.preflight.topologies import Topology
from sam_pod.step import state
from sam_pod.step.exchange import Exchange

# The roles of inputs that a training step updates; the others are new for each step.
STATE_ROLES = state.Values._fields
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Measured:
    """One program on one topology."""

    program: Program
    compiled: Compiled
    topology: Topology
    micro_batches: int = 1
    # The compiler counts the body of a loop once, however often it runs.
    num_chunks: int = 1

    @property
    def figures(self) -> dict:
        """Return the compiler's own figures."""
        return self.compiled.figures

    @property
    def error(self) -> str:
        """Return the compiler's complaint, or ''."""
        return self.compiled.error

    @property
    def unreadable(self) -> str:
        """Return why the compiled program cannot be read, or ''."""
        return self.figures.get("unreadable", "")

    @property
    def lowered_text(self) -> str:
        """Return XLA's text of the program before compilation, with all it knows."""
        module = private.XLA_COMPUTATION.get()(self.program.hlo).as_hlo_module()
        return module.to_string()

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
        """Return the exchanges after the compiler's fusion."""
        return hlo.collectives(self.module) if self.compiled.text else self.exchanges

    @functools.cached_property
    def exchanges(self) -> list[hlo.Collective]:
        """Return the exchanges in the step, before the compiler combines or splits."""
        return hlo.collectives(self.lowered)

    @functools.cached_property
    def share(self) -> memory.Share:
        """Return the shares of its memory."""
        return memory.share(self.program, self.figures, self.module)

    @functools.cached_property
    def roofline(self) -> roofline.Estimate:
        """Return the estimated time of a step."""
        return roofline.estimate(
            self.figures["flops"] * self.num_chunks,
            self.figures["bytes_accessed"] * self.num_chunks,
            self.exchanges,
            self.program.num_replicas,
            self.topology.replica,
        )

    @property
    def needed_bytes(self) -> int | None:
        """Return the memory that it takes, or None when nothing is known of it."""
        if not self.error:
            return self.share.total
        if not self._used_and_limit:
            return None
        # What it used does not count the arguments, which are there all the time.
        arguments = sum(tensor.num_bytes for tensor in self.program.inputs)
        return self._used_and_limit[0] + arguments

    @property
    def limit_bytes(self) -> int:
        """Return the memory of the device, as stated by the compiler if it did."""
        if self._used_and_limit:
            return self._used_and_limit[1]
        return self.topology.replica.hbm_bytes

    @property
    def _used_and_limit(self) -> tuple[int, int] | None:
        """Return what the compiler says when all is too much, or one array alone."""
        if one := re.search(
            r"Allocation \(size=(\d+)\) would exceed memory \(size=(\d+)\)", self.error
        ):
            return int(one[1]), int(one[2])
        number = r"\(?([\d.]+)([KMGT]?)\)?"
        # libtpu 0.0.7, and 0.0.42.
        both = re.search(rf"[Uu]sed {number} of {number} hbm", self.error) or re.search(
            rf"HLO temporaries {number} exceeds available HBM {number}", self.error
        )
        if not both:
            return None
        used, limit = (
            float(n) * _UNITS[u] for n, u in (both.groups()[:2], both.groups()[2:])
        )
        return round(used), round(limit)

    @property
    def per_replica_batch_size(self) -> int:
        """Return the examples that each replica takes."""
        images = next(t for t in self.program.inputs if t.role == "images")
        return images.shape[0]

    @property
    def state_bytes(self) -> int:
        """Return the bytes of all that a step updates."""
        return sum(t.num_bytes for t in self.program.inputs if t.role in STATE_ROLES)

    @property
    def gradient_bytes(self) -> int:
        """Return the bytes of one gradient."""
        return sum(t.num_bytes for t in self.program.inputs if t.role == "weights")

    def exchanged_bytes(self, exchange: Exchange) -> int:
        """Return the bytes of the gradients that an exchange declares."""
        sizes = [t.num_bytes for t in self.program.inputs if t.role == "weights"]
        mask = exchange.mask or [True] * len(sizes)
        named = (size for size, is_named in zip(sizes, mask, strict=True) if is_named)
        return exchange.gradients * sum(named)

    @property
    def donated_inputs(self) -> set[int]:
        """Return which inputs share their buffer with an output."""
        if self.unreadable:  # The compiler says how much, not which.
            is_all = self.figures["alias_bytes"] >= self.state_bytes
            roles = enumerate(t.role for t in self.program.inputs)
            return {i for i, role in roles if is_all and role in STATE_ROLES}
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
        return bool(self._layers) and self.layer(op_name) == self._layers[-1]

    def layer(self, op_name: str) -> str:
        """Return the layer with weights that an operation is of.

        For another operation it is its scope without numbers: a scope has the name of
        its layer and, but for the first of that name, a number.
        """
        for scope in reversed(op_name.split("/")):
            for name in (re.sub(r"_\d+$", "", scope), scope):
                if name in self._layers:
                    return name
        return re.sub(r"_\d+(?=/|$)", "", op_name)

    @functools.cached_property
    def _layers(self) -> list[str]:
        """Return the layers that have weights, the one that makes the logits last."""
        paths = [t.name for t in self.program.inputs if t.role == "weights"]
        return [path.split("/")[-2] for path in paths if "/" in path]
