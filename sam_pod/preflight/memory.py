"""What a compiled program keeps in memory, and how much of it is activations.

The compiler reports its temporaries as one number. The schedule shows which of them are
activations, kept from the forward for the backward pass: those values alive at its
fullest moment that are made outside the gradient and used in it.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from sam_pod.lowering.programs import Program
from sam_pod.preflight import hlo

# Operations that name another value or a part of it, or move it between memories.
_VIEWS = frozenset({"bitcast", "get-tuple-element", "optimization-barrier", "tuple"})
_MOVES = frozenset({"copy", "copy-start", "slice-start", "dynamic-slice-start"})
_FREE = frozenset({"parameter", "constant", "partition-id", "replica-id", "after-all"})
_GRADIENT = "gradient_tape"  # In the names of operations that a GradientTape makes.


@dataclasses.dataclass(frozen=True)
class Share:
    """The bytes of one replica's memory, by content."""

    weights: int
    statistics: int
    slots: int
    batch: int
    activations: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """Return all of it."""
        return sum(dataclasses.astuple(self))


def share(program: Program, compiled: dict, module: hlo.Module) -> Share:
    """Return the shares of a compiled program's memory.

    Args:
        program: The program that was compiled.
        compiled: The compiler's own figures, as written by compile_worker.
        module: The compiled program; where it could not be read, nothing is padded, and
            activations count as temporaries.
    """
    # Donated buffers are inputs and outputs at once.
    held = compiled["argument_bytes"] + compiled["output_bytes"]
    held -= compiled["alias_bytes"]
    by_role = dict.fromkeys(("weights", "stats", "slots"), 0)
    for number, size in _input_bytes(program, module):
        role = program.inputs[number].role
        role = "slots" if role == "average" else role  # Beside the weights, too.
        if role in by_role:
            by_role[role] += size
    activations, others = _at_peak(module) if module.entry else (0, 0)
    kept = activations / max(activations + others, 1) * compiled["temporary_bytes"]
    return Share(
        weights=by_role["weights"],
        statistics=by_role["stats"],
        slots=by_role["slots"],
        batch=held - sum(by_role.values()),  # And scalars, and what comes out.
        activations=round(kept),
        temporaries=compiled["temporary_bytes"] - round(kept),
        code=compiled["code_bytes"],
    )


def _input_bytes(program: Program, module: hlo.Module) -> Iterator[tuple[int, int]]:
    """Yield the number of each input, and the bytes that it takes."""
    if not module.entry:
        yield from ((i, tensor.num_bytes) for i, tensor in enumerate(program.inputs))
        return
    for instruction in module.computations[module.entry]:
        if instruction.opcode == "parameter":
            number = int(instruction.text.partition(")")[0])
            yield number, instruction.shapes[0].padded_bytes


def hbm_traffic(module: hlo.Module) -> int:
    """Return the bytes that a program reads from and writes to the large memory.

    The compiler counts every operand and result, those in the fast memory beside the
    cores as well; this leaves them out. A loop's body counts once, and an operand that
    is read in part counts whole.
    """
    total = 0
    for name in _schedules(module, module.entry):
        shapes: dict[str, tuple[hlo.Shape, ...]] = {}
        for instruction in module.computations[name]:
            shapes[instruction.name] = instruction.shapes
            opcode = instruction.opcode
            is_free = opcode in _VIEWS | _FREE or opcode == "while"
            if is_free or opcode.endswith("-done"):
                continue
            read = [s for o in instruction.operands for s in shapes[o] if s.is_in_hbm]
            if opcode == "slice-start":
                read = instruction.shapes[1:2] if read else []
            total += sum(shape.padded_bytes for shape in read)
            total += _hbm_bytes(instruction)
    return total


def _schedules(module: hlo.Module, name: str) -> Iterator[str]:
    """Return the computations that run one after another: the entry, loops' bodies."""
    yield name
    for instruction in module.computations[name]:
        if instruction.opcode == "while":
            yield from _schedules(module, instruction.attribute("body"))


def _at_peak(module: hlo.Module) -> tuple[int, int]:
    """Return (activations, other values) in bytes at the fullest moment."""
    return _peak(module, module.entry)


def _peak(module: hlo.Module, name: str) -> tuple[int, int]:
    schedule = module.computations[name]
    holders, origins = _flow(schedule)
    kept = _kept(module, schedule, origins)
    last_use = {
        value: moment
        for moment, instruction in enumerate(schedule)
        for operand in instruction.operands
        for value in holders[operand]
    }
    live: dict[str, tuple[int, bool]] = {}
    best = (0, 0)
    for moment, instruction in enumerate(schedule):
        inside = (0, 0)
        if instruction.opcode == "while":
            # It works in its operands' buffers; its body has values of its own.
            inside = _peak(module, instruction.attribute("body"))
        elif holders[instruction.name][0] == instruction.name:
            is_kept = not kept.isdisjoint(origins[instruction.name])
            live[instruction.name] = (_hbm_bytes(instruction), is_kept)
        activations = sum(size for size, keep in live.values() if keep) + inside[0]
        others = sum(size for size, keep in live.values() if not keep) + inside[1]
        best = max(best, (activations, others), key=sum)
        for value in [v for v in live if last_use.get(v, moment) <= moment]:
            del live[value]
    return best


def _hbm_bytes(instruction: hlo.Instruction) -> int:
    """Return the bytes that an instruction newly takes of the chip's large memory."""
    shapes = instruction.shapes
    if instruction.opcode == "copy-start":
        shapes = shapes[:1]  # (where to, where from, context)
    elif instruction.opcode.endswith("-start"):
        shapes = shapes[1:2]  # (where from, where to, context)
    return sum(shape.padded_bytes for shape in shapes if shape.is_in_hbm)


def _flow(
    schedule: Iterable[hlo.Instruction],
) -> tuple[dict[str, tuple[str, ...]], dict[str, frozenset[str]]]:
    """Return the buffers of each value by name, its own first, and whose content it is.

    A view is in its operands' buffers. A moved value has a buffer of its own, beside
    the old one until the move is done, and the old content.
    """
    holders: dict[str, tuple[str, ...]] = {}
    origins: dict[str, frozenset[str]] = {}
    for instruction in schedule:
        name, opcode = instruction.name, instruction.opcode
        inherited = tuple(v for o in instruction.operands for v in holders[o])
        contents = frozenset().union(*(origins[o] for o in instruction.operands))
        is_view = opcode in _VIEWS or opcode == "while" or opcode.endswith("-done")
        if opcode in _FREE:
            holders[name] = ("",)
        elif is_view:
            holders[name] = inherited or ("",)
        elif opcode.endswith("-start"):
            holders[name] = (name, *inherited)
        else:
            holders[name] = (name,)
        keeps_content = is_view or opcode in _MOVES
        origins[name] = contents if keeps_content else frozenset([name])
    return holders, origins


def _kept(
    module: hlo.Module,
    schedule: Iterable[hlo.Instruction],
    origins: dict[str, frozenset[str]],
) -> set[str]:
    """Return the values that are made outside the gradient and used in it."""
    kept: set[str] = set()
    made_in_gradient: set[str] = set()
    for instruction in schedule:
        inside = module.computations.get(instruction.attribute("calls"), ())
        if any(_GRADIENT in part.op_name for part in (instruction, *inside)):
            made_in_gradient.add(instruction.name)
            for operand in instruction.operands:
                kept |= origins[operand] - made_in_gradient
    return kept
