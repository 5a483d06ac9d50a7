"""What must hold before a slice is paid for: each check passes or says why not."""

import dataclasses
import re

from sam_pod import groups
from sam_pod.preflight import hlo
from sam_pod.preflight.measured import Measured

# SAM takes two gradients and what little the ascent costs.
MAX_FLOPS_RATIO = 2.05
_HOST_TRANSFERS = ("infeed", "outfeed", "recv", "send")
_DYNAMIC = ("dynamic-reshape", "get-dimension-size", "set-dimension-size")
_PRODUCTS = ("convolution", "dot")


@dataclasses.dataclass(frozen=True)
class Check:
    """One line that passes or fails."""

    name: str
    is_passed: bool
    detail: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the config promises of the step."""

    sync: str  # Of config.sam.sync.
    rho: float
    dtype: str  # Of config.dtype.


def of_program(measured: Measured) -> list[Check]:
    """Return the checks that hold for any program."""
    return [
        compiles(measured),
        fits(measured),
        no_host_transfer(measured),
        no_dynamic_shape(measured),
        no_float64(measured),
    ]


def of_step(measured: Measured, plain: Measured | None, rules: Rules) -> list[Check]:
    """Return the checks of a training step, compared with the plain optimizer's."""
    checks = [
        *of_program(measured),
        no_silent_upcast(measured, rules.dtype),
        collectives(measured, rules),
        donates(measured),
    ]
    return checks if plain is None else [*checks, costs_two_gradients(measured, plain)]


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
    batch = measured.per_replica_batch_size
    # What grows with the batch is nearly all of it, where it is too much.
    suggestion = max(int(batch * 0.95 * limit / needed), 1)
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
        or (i.opcode == "custom-call" and re.search(r"callback|[Hh]ost", i.text))
    ]
    return _none("no host transfer", found)


def no_dynamic_shape(measured: Measured) -> Check:
    """Check that every shape is known."""
    found = [
        i
        for i in measured.lowered.instructions()
        if i.opcode in _DYNAMIC or "[<=" in i.text or ",<=" in i.text
    ]
    return _none("no dynamic shape", found)


def no_float64(measured: Measured) -> Check:
    """Check that nothing computes in float64, which a TPU emulates."""
    found = [
        i
        for i in measured.lowered.instructions()
        if any(shape.dtype == "f64" for shape in i.shapes)
    ]
    return _none("no float64", found)


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
    where = {
        f"{i.opcode} {i.op_name} ({measured.program.source_line(i.op_name) or '?'})"
        for i in found
    }
    return Check(name, False, f"in float32: {'; '.join(sorted(where)[:3])}")


def collectives(measured: Measured, rules: Rules) -> Check:
    """Check that gradients are exchanged as often as the mode needs, and no more.

    One gradient for the descent, and one within each group for the ascent.
    """
    name = "no needless collective"
    replicas, gradient = measured.program.num_replicas, measured.gradient_bytes
    size = groups.size(rules.sync, replicas)
    allowed = {replicas: 1}
    if rules.rho and size > 1:
        allowed[size] = allowed.get(size, 0) + measured.micro_batches
    if replicas == 1:
        allowed = {}
    found: dict[int, int] = {}
    for collective in measured.collectives:
        width = max((len(g) for g in collective.groups), default=replicas)
        found[width] = found.get(width, 0) + collective.num_bytes
    # Statistics and metrics travel along; a gradient is far larger.
    excess = {
        width: count
        for width, size in found.items()
        if (count := size / gradient - allowed.get(width, 0)) >= 0.5
    }
    told = ", ".join(
        f"{size / gradient:.2f} gradients among {width}"
        for width, size in sorted(found.items(), reverse=True)
    )
    if not excess:
        return Check(name, True, told or "none at all")
    needed = ", ".join(f"{n} among {w}" for w, n in allowed.items()) or "none"
    return Check(name, False, f"{told}; `sam.sync` {rules.sync!r} needs {needed}")


def donates(measured: Measured) -> Check:
    """Check that the state is updated in place: no second copy across the step."""
    name = "state donated"
    state = [i for i, _ in measured.program.aliases]
    donated = measured.donated_inputs
    missing = [measured.program.inputs[i].name for i in state if i not in donated]
    if not missing and state:
        size = sum(measured.program.inputs[i].num_bytes for i in state)
        return Check(name, True, f"{size / 1e6:.2f} MB")
    what = ", ".join(missing[:3]) or "everything"
    return Check(name, False, f"copied: {what}")


def costs_two_gradients(measured: Measured, plain: Measured) -> Check:
    """Check that SAM computes two gradients and nothing else."""
    name = f"FLOPs at most {MAX_FLOPS_RATIO} x plain"
    if measured.error or plain.error:
        return Check(name, False, "it was not compiled")
    ratio = measured.figures["flops"] / plain.figures["flops"]
    return Check(name, ratio <= MAX_FLOPS_RATIO, f"{ratio:.3f}")


def _none(name: str, found: list[hlo.Instruction]) -> Check:
    if not found:
        return Check(name, True, "")
    first = found[0]
    where = f"{first.opcode} {first.op_name or first.name}"
    return Check(name, False, f"{len(found)} found, such as {where}")


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.3f}"
