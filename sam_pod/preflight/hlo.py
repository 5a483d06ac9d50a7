"""Read XLA's text of a program: instructions, shapes, collectives, what lives at once.

The text before compilation tiles nothing; the text after it is a schedule, whose shapes
say how they are tiled, and in which memory. Both name operands with a percent sign.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

import numpy as np

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)
_BITS = {"pred": 8, "bf16": 16, "f16": 16, "token": 0}
_SHAPE = re.compile(r"\b(pred|token|[a-z]+\d+\w*)\[([^\]]*)\](?:\{([^}]*)\})?")


@dataclasses.dataclass(frozen=True)
class Shape:
    """One array."""

    dtype: str
    dims: tuple[int, ...]
    layout: str  # Such as '1,0:T(8,128)S(1)'; no tiles before compilation.
    is_dynamic: bool = False  # `dims` are bounds.

    @property
    def num_bytes(self) -> int:
        """Return the bytes of its elements."""
        return math.prod(self.dims) * _num_bits(self.dtype) // 8

    @property
    def padded_bytes(self) -> int:
        """Return the bytes that it takes in memory, tiled."""
        order, _, tiling = self.layout.partition(":")
        tile = re.search(r"T\(([\d,]+)\)", tiling)
        if not tile:
            return self.num_bytes
        minor_to_major = [int(i) for i in order.split(",") if i]
        dims = [self.dims[i] for i in reversed(minor_to_major)]
        sides = [int(n) for n in tile[1].split(",")]
        dims = [1] * (len(sides) - len(dims)) + dims
        for i, side in enumerate(sides, len(dims) - len(sides)):
            dims[i] = -(-dims[i] // side) * side
        return math.prod(dims) * _num_bits(self.dtype) // 8

    @property
    def is_in_hbm(self) -> bool:
        """Whether it is in the chip's large memory, not in one beside its cores."""
        return "S(" not in self.layout


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program."""

    name: str
    opcode: str
    shapes: tuple[Shape, ...]  # The shapes of its result; several if that is a tuple.
    operands: tuple[str, ...]
    text: str  # All after the opcode.

    @property
    def op_name(self) -> str:
        """Return which operation of TensorFlow's graph it comes from, or ''."""
        match = re.search(r'op_name="([^"]*)"', self.text)
        return match[1] if match else ""

    @property
    def source_line(self) -> str:
        """Return FILE:LINE in the metadata, or ''."""
        match = re.search(r'source_file="([^"]*)" source_line=(\d+)', self.text)
        return f"{match[1]}:{match[2]}" if match else ""

    def attribute(self, name: str) -> str:
        """Return an attribute such as `body=%while_body`, or ''."""
        match = re.search(rf"\b{name}=%?([\w.\-]+)", self.text)
        return match[1] if match else ""


@dataclasses.dataclass(frozen=True)
class Module:
    """A program: computations by name, and which of them it begins with."""

    computations: dict[str, list[Instruction]]
    entry: str

    def instructions(self) -> Iterator[Instruction]:
        """Return every instruction of every computation."""
        for computation in self.computations.values():
            yield from computation


@dataclasses.dataclass(frozen=True)
class Collective:
    """Operands that the chips exchange at once."""

    kind: str
    operands: tuple[tuple[str, int], ...]  # (op_name, bytes) of each.
    groups: tuple[tuple[int, ...], ...]  # Replicas that exchange; () for all.

    @property
    def num_bytes(self) -> int:
        """Return the bytes of all operands."""
        return sum(size for _, size in self.operands)


def parse(text: str) -> Module:
    """Return the program in XLA's text."""
    computations: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    entry = ""
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head and not line.startswith("HloModule"):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif instruction := _instruction(line):
            current.append(instruction)
    return Module(computations, entry)


def _instruction(line: str) -> Instruction | None:
    head = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", line)
    if not head:
        return None
    rest = line[head.end() :]
    end = _end_of_shape(rest)
    match = re.match(r" ([a-z][\w\-]*)\(", rest[end:])
    if not match:
        return None
    text = rest[end + match.end() :]
    return Instruction(
        name=head[1],
        opcode=match[1],
        shapes=tuple(shapes(rest[:end])),
        operands=tuple(_operands(text)),
        text=text,
    )


def _end_of_shape(text: str) -> int:
    depth = 0
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == " " and not depth:
            return i
    return len(text)


def _operands(text: str) -> Iterator[str]:
    depth = 1
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return iter(re.findall(r"%([\w.\-]+)", text[:i]))
    return iter(())


def shapes(text: str) -> Iterator[Shape]:
    """Return the arrays that a text names, in order."""
    for dtype, dims, layout in _SHAPE.findall(text):
        # A bounded dimension, <=8, counts as its bound.
        sides = tuple(int(d.lstrip("<=")) for d in dims.split(",") if d)
        yield Shape(dtype, sides, layout or "", is_dynamic="<=" in dims)


def _num_bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    match = re.match(r"[a-z]+(\d+)", dtype)
    return int(match[1]) if match else 0


# A compiled program may do one all-reduce in stages along the axes of a torus, so that
# the operations after it work on shards. The stages are all-reduces in fusions whose
# computations are named after that; nothing shows which operation they belong to.
_STAGES = {"all-reduce-scatter": "reduce-scatter", "all-gather": "all-gather"}


def collectives(module: Module) -> list[Collective]:
    """Return the collectives, each with all that it carries."""
    found = []
    for name, computation in module.computations.items():
        users = _users(computation)
        for instruction in computation:
            kind = instruction.opcode.removesuffix("-start")
            if kind in COLLECTIVES:
                kind = _STAGES.get(name.partition(".")[0], kind)
                found.append(_collective(kind, instruction, users))
    return found


def _collective(
    kind: str, instruction: Instruction, users: dict[str, list[Instruction]]
) -> Collective:
    count = len(instruction.operands)
    carried = instruction.shapes
    if kind == "collective-permute" and instruction.opcode.endswith("-start"):
        carried = carried[: 2 * count]  # (where from, where to, two contexts)
    sizes = [shape.num_bytes for shape in carried[-count:]]
    names = [instruction.op_name] * count
    pending = list(users.get(instruction.name, []))
    for user in pending:
        if user.opcode.endswith("-done"):
            pending += users.get(user.name, [])
        index = re.search(r"\), index=(\d+)", user.text)
        if user.opcode == "get-tuple-element" and index and count > 1:
            names[int(index[1]) % count] = user.op_name or instruction.op_name
    return Collective(
        kind, tuple(zip(names, sizes, strict=True)), _groups(instruction.text)
    )


def _users(computation: list[Instruction]) -> dict[str, list[Instruction]]:
    users: dict[str, list[Instruction]] = {}
    for instruction in computation:
        for operand in instruction.operands:
            users.setdefault(operand, []).append(instruction)
    return users


def _groups(text: str) -> tuple[tuple[int, ...], ...]:
    listed = re.search(r"replica_groups=\{((?:\{[\d,]*\},?)*)\}", text)
    if listed:
        groups = re.findall(r"\{([\d,]+)\}", listed[1])
        return tuple(tuple(int(i) for i in group.split(",")) for group in groups)
    # [2,8]<=[16] means two groups of eight in the order of their numbers; in
    # [8,2]<=[2,8]T(1,0) the numbers fill a table of 2 x 8, which is then transposed.
    iota = re.search(
        r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text
    )
    if not iota:
        return ()
    groups, table = ([int(n) for n in part.split(",")] for part in iota.group(1, 2))
    numbers = np.arange(math.prod(table)).reshape(table)
    if iota[3]:
        numbers = numbers.transpose([int(axis) for axis in iota[3].split(",")])
    return tuple(map(tuple, numbers.reshape(groups).tolist()))
