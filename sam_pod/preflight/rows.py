"""The rows of the report, as text and as a page."""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

# The parts of memory: (key in a program's report, word for it)
PARTS = (
    ("weights", "weights"),
    ("statistics", "statistics"),
    ("slots", "slots"),
    ("batch", "batch"),
    ("activations", "activations"),
    ("temporaries", "temporaries"),
    ("code", "program"),
)
# (what, where it is in a program's report, by what it is divided)
_ROWS = (
    ("GFLOP", ("flops",), 1e9),
    ("GB accessed", ("bytes_accessed",), 1e9),
    ("  in HBM", ("hbm_bytes_accessed",), 1e9),
    ("FLOP a byte", ("flops_per_byte",), 1),
    ("MiB of memory", ("memory_bytes",), 2**20),
    *((f"  {word}", ("memory", key), 2**20) for key, word in PARTS),
    ("ms, estimated", ("roofline", "step_seconds"), 1e-3),
    ("  compute", ("roofline", "compute_seconds"), 1e-3),
    ("  memory", ("roofline", "memory_seconds"), 1e-3),
    ("  interconnect", ("roofline", "interconnect_seconds"), 1e-3),
    ("bound by", ("roofline", "bound"), 1),
    ("images/s", ("roofline", "images_per_second"), 1),
    ("% of peak", ("roofline", "utilization"), 1e-2),
)
CAVEAT = (
    "Memory's time is an upper bound, that of all bytes as if in HBM; the vector unit, "
    "the host and what an exchange takes to begin are left out."
)
_COMPARED = ("SAM step", "plain step")


def title(report: Mapping[str, Any]) -> str:
    """Return both names of a topology."""
    return f"{report['topology']} ({report['accelerator_type']})"


def extent(report: Mapping[str, Any]) -> str:
    """Return a topology's parts, and the batch that it takes, in one line."""
    chunks = report.get("accumulate_steps", 1)
    note = (
        f"; steps in {chunks} chunks, of which operations and bytes are those of one"
        if chunks > 1
        else ""
    )
    return (
        f"{report['chips']} chips, {report['hosts']} host(s), {report['replicas']} "
        f"replicas; batch {report['per_replica_batch_size']} a replica, "
        f"{report['global_batch_size']} global{note}"
    )


def micro_batches(report: Mapping[str, Any]) -> str:
    """Return what it costs to ascend in parts, in one line; '' for no parts."""
    parts = report.get("micro_batches", 1)
    found = [report["programs"].get(name, {}) for name in _COMPARED]
    if parts == 1 or not all("bytes_accessed" in program for program in found):
        return ""
    step, plain = (program["bytes_accessed"] for program in found)
    return (
        f"{parts} micro-batches of {report['per_replica_batch_size'] // parts}: a step "
        f"accesses {step / plain:.2f} x the plain step's bytes; two passes over a "
        "whole batch access about 2 x"
    )


def largest_batch(found: Mapping[str, Any]) -> str:
    """Return the findings about the largest batch, in one line."""
    if found["fails"] is None:
        return (
            f"largest batch a replica: {found['fits']} fits, an epoch holds no larger"
        )
    return f"largest batch a replica: {found['fits']} fits, {found['fails']} does not"


def unreadable(programs: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each compiled program that could not be read."""
    for name, program in programs.items():
        if reason := program.get("unreadable"):
            yield (
                f"{name}: this jaxlib does not read what the compiler made "
                f"({' '.join(reason.split())[:200]}); collectives are those before "
                "compilation, and what activations take is not known."
            )


def figures(programs: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a head, then each figure of all programs; lines of a part are indented.

    The last column compares SAM with the plain step, and is empty without both.
    """
    compares = all(name in programs for name in _COMPARED)
    yield ("per replica and step", *programs, "SAM/plain" if compares else "")
    for label, path, unit in _ROWS:
        values = {name: _at(program, path) for name, program in programs.items()}
        ratio = ""
        if compares:
            sam, plain = (values[name] for name in _COMPARED)
            if (
                isinstance(sam, int | float)
                and isinstance(plain, int | float)
                and plain
            ):
                ratio = f"{sam / plain:.3f}"
        yield (label, *(cell(value, unit) for value in values.values()), ratio)


def _at(program: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    if "error" in program:
        return None
    return functools.reduce(lambda found, key: found[key], path, program)


def cell(value: Any, unit: float) -> str:
    """Return a figure in its unit, or '-' where there is none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    value /= unit
    # Three digits or more, whatever the size of the model.
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def collectives(programs: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a head, then each exchange of each program; equal ones once, counted."""
    yield ("collectives", "kind", "operands", "MB", "among", "for")
    for name, program in programs.items():
        alike: Counter[tuple[str, ...]] = Counter()
        for found in program.get("collectives", ()):
            parts = ", ".join(
                f"{part} {cell(size, 1e6)}"
                for part, size in found["bytes_by_pass"].items()
            )
            size = cell(found["bytes"], 1e6)
            among = f"{found['groups']} x {found['group_size']}"
            row = (found["kind"], str(found["operands"]), size, among, parts)
            alike[row] += 1
        for (kind, *rest), count in alike.items():
            yield (name, kind if count == 1 else f"{count} x {kind}", *rest)
