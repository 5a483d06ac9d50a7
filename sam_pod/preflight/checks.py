"""Checks to pass before a slice is paid for; each that fails says why."""

import dataclasses
import math
import re
from collections.abc import Iterator

from sam_pod import sam
from sam_pod.models import network
from sam_pod.preflight import hlo
from sam_pod.preflight.measured import STATE_ROLES, Measured
from sam_pod.step import exchange

# What the ascent and the optimizer may cost beside the passes of a step.
FLOPS_SLACK = 1.025
_HOST_TRANSFERS = ("infeed", "outfeed", "recv", "send")
_FLOAT64 = ("f64", "c128")
_PRODUCTS = ("convolution", "dot")
# The caller of layers, whose line is the same for every layer that it calls.
_CALLERS = (network.__file__, sam.__file__)


@dataclasses.dataclass(frozen=True)
class Check:
    """One line that passes or fails."""

    name: str
    is_passed: bool
    detail: str


def of_program(measured: Measured) -> list[Check]:
    """Return the checks that hold for any program."""
    return [
        compiles(measured),
        fits(measured),
        no_host_transfer(measured),
        no_dynamic_shape(measured),
        no_float64(measured),
    ]


def of_step(measured: Measured, plain: Measured | None, dtype: str) -> list[Check]:
    """Return the checks of a training step, compared with the plain optimizer's.

    Args:
        measured: The step.
        plain: The plain step; None for that itself.
        dtype: The config's.
    """
    checks = [
        *of_program(measured),
        no_silent_upcast(measured, dtype),
        collectives(measured),
        donates(measured),
    ]
    return checks if plain is None else [*checks, costs_its_passes(measured, plain)]


def compiles(measured: Measured) -> Check:
    """Check that the compiler made a program of it, whatever its size."""
    reason = " ".join(measured.error.split())[:300]
    is_passed = not measured.error or measured.needed_bytes is not None
    return Check("compiles", is_passed, "" if is_passed else reason)


def fits(measured: Measured) -> Check:
    """Check that all of it is in the device's memory at once."""
    needed, limit = measured.needed_bytes, measured.limit_bytes
    if needed is None:
        return Check("fits", False, "it was not compiled")
    detail = f"{_gib(needed)} of {_gib(limit)} GiB"
    if needed <= limit and not measured.error:
        return Check("fits", True, detail)
    batch, unit = measured.per_replica_batch_size, measured.micro_batches
    # All but the state, the gradient and the perturbed weights grows with the batch.
    fixed = measured.state_bytes + 2 * measured.gradient_bytes
    share = (0.95 * limit - fixed) / max(needed - fixed, 1)
    suggestion = int(batch * min(share, 0.95)) // unit * unit
    if suggestion < unit:
        return Check(
            "fits",
            False,
            f"{detail}, {_gib(fixed)} whatever the batch: take a smaller model, "
            "`dtype` 'bfloat16', or chips with more memory",
        )
    replicas = measured.program.num_replicas
    return Check(
        "fits",
        False,
        f"{detail}: reduce the replica's batch from {batch} to about {suggestion} "
        f"(`global_batch_size` {suggestion * replicas}), or raise `accumulate_steps`",
    )


def no_host_transfer(measured: Measured) -> Check:
    """Check that nothing goes to or comes from the host inside the program."""
    found = [
        i
        for i in measured.all_instructions()
        if i.opcode.removesuffix("-done") in _HOST_TRANSFERS
        or re.search(r'custom_call_target="[^"]*(callback|[Hh]ost)', i.text)
    ]
    return _none(measured, "no host transfer", found)


def no_dynamic_shape(measured: Measured) -> Check:
    """Check that every shape is known."""
    found = [
        i
        for i in measured.lowered.instructions()
        if any(shape.is_dynamic for shape in i.shapes)
    ]
    return _none(measured, "no dynamic shape", found)


def no_float64(measured: Measured) -> Check:
    """Check that nothing computes in float64, which a TPU emulates."""
    found = [
        i
        for i in measured.lowered.instructions()
        if any(shape.dtype in _FLOAT64 for shape in i.shapes)
    ]
    return _none(measured, "no float64", found)


def no_silent_upcast(measured: Measured, dtype: str) -> Check:
    """Check that under bfloat16 no product but the last layer's is in float32."""
    name = "no silent upcast"
    if dtype != "bfloat16":
        return Check(name, True, f"`dtype` is {dtype!r}")
    found = [
        i
        for i in measured.lowered.instructions()
        if i.opcode in _PRODUCTS
        and i.shapes[0].dtype == "f32"
        and not measured.is_of_last_layer(i.op_name)
    ]
    if not found:
        return Check(name, True, "")
    # Each layer once: its forward product stands for its gradients'.
    forward = [i for i in found if "gradient_tape" not in i.op_name] or found
    where: dict[str, str] = {}
    for i in forward:
        where.setdefault(measured.layer(i.op_name), _place(measured, i))
    return Check(name, False, f"in float32: {'; '.join(list(where.values())[:3])}")


def collectives(measured: Measured) -> Check:
    """Check that replicas exchange what the step declares, to the byte.

    Less would let replicas drift apart, or ascend on what is not their group's; more
    costs. What the step asks for decides: of a large slice the compiler does one
    exchange in stages among fewer.
    """
    name = "no needless collective"
    gradient = measured.gradient_bytes
    found = _sent(measured)
    said = _amounts(_by_width(found), gradient) or "none at all"
    faults = list(_off(measured, found))
    if not faults:
        return Check(name, True, said)
    declared: dict[int, int] = {}
    for each in measured.program.exchanges:
        size = measured.exchanged_bytes(each)
        if size:
            declared[each.replicas] = declared.get(each.replicas, 0) + size
    needed = _amounts(declared, gradient, "{:.3g}") or "none"
    return Check(name, False, f"{said}; the step declares {needed} ({faults[0]})")


def _off(measured: Measured, found: dict[tuple[str, int], int]) -> Iterator[str]:
    """Yield how what is sent is not what is declared."""
    left = dict(found)
    statistics = sum(t.num_bytes for t in measured.program.inputs if t.role == "stats")
    report = measured.program.outputs[-1].num_bytes
    # New statistics and the metrics travel with the descent's gradients.
    along = {"descent": statistics + report, "norm": 4}
    for declared in measured.program.exchanges:
        scope, width = declared.scope, declared.replicas
        least = measured.exchanged_bytes(declared)
        sent = left.pop((scope, width), 0)
        if sent < least or not sent or sent > least + along.get(scope, 0):
            yield f"{scope}: {sent} bytes among {width}, not {least}"
    # Layers may share the statistics of a batch, in each pass there and back.
    passes = measured.micro_batches * math.ceil(measured.program.passes)
    for (scope, width), sent in left.items():
        if scope or sent > 4 * passes * statistics:
            yield f"{scope or 'elsewhere'}: {sent} bytes among {width}"


def _sent(measured: Measured) -> dict[tuple[str, int], int]:
    """Return the bytes by (scope of an exchange, or '', replicas that take part)."""
    scopes = "|".join(exchange.SCOPES)
    found: dict[tuple[str, int], int] = {}
    for collective in measured.exchanges:
        width = max(map(len, collective.groups), default=0)
        for op_name, size in collective.operands:
            match = re.match(rf"({scopes})/[^/]+$", op_name)
            key = match[1] if match else "", width or measured.program.num_replicas
            found[key] = found.get(key, 0) + size
    return found


def _by_width(found: dict[tuple[str, int], int]) -> dict[int, int]:
    widths: dict[int, int] = {}
    for (_, width), size in found.items():
        widths[width] = widths.get(width, 0) + size
    return widths


def _amounts(
    sizes: dict[int, int], gradient: int, form: str = "{:.2f} gradients"
) -> str:
    return ", ".join(
        f"{form.format(size / gradient)} among {width}"
        for width, size in sorted(sizes.items(), reverse=True)
    )


def donates(measured: Measured) -> Check:
    """Check that the state is updated in place: no second copy across the step."""
    name = "state donated"
    donated = measured.donated_inputs
    missing = [
        tensor.name
        for i, tensor in enumerate(measured.program.inputs)
        if tensor.role in STATE_ROLES and i not in donated
    ]
    if not missing:
        return Check(name, True, f"{measured.state_bytes / 1e6:.2f} MB")
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return Check(name, False, f"copied: {', '.join(missing[:3])}{more}")


def costs_its_passes(measured: Measured, plain: Measured) -> Check:
    """Check that a step computes the passes that it declares, and nothing else."""
    limit = FLOPS_SLACK * measured.program.passes
    name = f"FLOPs at most {limit:.2f} x plain"
    if measured.error or plain.error:
        return Check(name, False, "it was not compiled")
    ratio = measured.figures["flops"] / plain.figures["flops"]
    return Check(name, ratio <= limit, f"{ratio:.3f}")


def _none(measured: Measured, name: str, found: list[hlo.Instruction]) -> Check:
    if not found:
        return Check(name, True, "")
    forward = [i for i in found if i.op_name and "gradient_tape" not in i.op_name]
    where = _place(measured, (forward or found)[0])
    return Check(name, False, f"{len(found)} found, such as {where}")


def _place(measured: Measured, instruction: hlo.Instruction) -> str:
    """Return an instruction's opcode, its operation, and the line that made it."""
    line = measured.program.source_line(instruction.op_name)
    where = f" ({line})" if line and line.rpartition(":")[0] not in _CALLERS else ""
    return f"{instruction.opcode} {instruction.op_name or instruction.name}{where}"


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.3f}"
