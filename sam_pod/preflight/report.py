"""The findings of preflight, for machines as a dict and for people as a table."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sam_pod.preflight import memory, rows
from sam_pod.preflight.checks import Check
from sam_pod.preflight.measured import Measured
from sam_pod.preflight.topologies import Topology

SCHEMA_VERSION = 1


def of_topology(
    topology: Topology,
    programs: Mapping[str, Measured],
    checks: Mapping[str, list[Check]],
) -> dict[str, Any]:
    """Return the report of one topology.

    Args:
        topology: The topology that was compiled for.
        programs: The programs by name: 'SAM step', 'plain step', 'evaluation'.
        checks: The checks of each program, by its name.
    """
    accelerator, any_program = topology.accelerator, next(iter(programs.values()))
    replicas, batch = topology.num_replicas, any_program.per_replica_batch_size
    return {
        "topology": topology.name,
        "accelerator_type": accelerator.name,
        "chips": accelerator.chips,
        "hosts": accelerator.hosts,
        "replicas": replicas,
        "per_replica_batch_size": batch,
        "global_batch_size": batch * replicas,
        "hbm_bytes": topology.replica.hbm_bytes,
        "peak_flops_per_second": topology.replica.peak_flops_per_second,
        "hbm_bytes_per_second": topology.replica.hbm_bytes_per_second,
        "programs": {name: of_program(m) for name, m in programs.items()},
        "checks": [
            {
                "program": name,
                "check": check.name,
                "is_passed": check.is_passed,
                "detail": check.detail,
            }
            for name, found in checks.items()
            for check in found
        ],
    }


def of_program(measured: Measured) -> dict[str, Any]:
    """Return the figures of one replica's program."""
    if measured.error:
        return {"error": " ".join(measured.error.split())[:1000]}
    flops = measured.figures["flops"]
    accessed = measured.figures["bytes_accessed"]
    share, estimate = measured.share, measured.roofline
    examples = measured.per_replica_batch_size * measured.program.num_replicas
    return {
        "flops": flops,
        "bytes_accessed": accessed,
        "hbm_bytes_accessed": None
        if measured.unreadable
        else memory.hbm_traffic(measured.module),
        "unreadable": measured.unreadable,
        "flops_per_byte": flops / accessed,
        "memory_bytes": share.total,
        "memory": dataclasses.asdict(share),
        "collectives": list(_collectives(measured)),
        "roofline": {
            "compute_seconds": estimate.compute_seconds,
            "memory_seconds": estimate.memory_seconds,
            "interconnect_seconds": estimate.interconnect_seconds,
            "step_seconds": estimate.step_seconds,
            "bound": estimate.bound,
            "utilization": estimate.utilization,
            "images_per_second": examples / estimate.step_seconds,
        },
        "compile_seconds": measured.figures["seconds"],
        "compile_cpu_seconds": measured.figures.get("cpu_seconds"),
        "is_cached": measured.compiled.is_cached,
    }


def _collectives(measured: Measured) -> Iterator[dict[str, Any]]:
    split = _split_passes(measured)
    for collective in measured.collectives:
        sizes: dict[str, int] = {}
        for op_name, size in collective.operands:
            part = _pass(op_name, measured) or split
            sizes[part] = sizes.get(part, 0) + size
        replicas = measured.program.num_replicas
        yield {
            "kind": collective.kind,
            "operands": len(collective.operands),
            "bytes": collective.num_bytes,
            "group_size": max(map(len, collective.groups), default=replicas),
            "groups": len(collective.groups) or 1,
            "bytes_by_pass": sizes,
        }


def _split_passes(measured: Measured) -> str:
    """Return the purpose of the compiler's stages: the passes that lack an exchange.

    A stage has no operation of its own.
    """
    left: dict[str, int] = {}
    for sign, collectives in ((1, measured.exchanges), (-1, measured.collectives)):
        for collective in collectives:
            for op_name, size in collective.operands:
                if part := _pass(op_name, measured):
                    left[part] = left.get(part, 0) + sign * size
    # What the compiler knows already, it does not exchange: some norms and zeros.
    large = measured.gradient_bytes / 50
    return " and ".join(part for part, size in left.items() if size > large) or "none"


def _pass(op_name: str, measured: Measured) -> str:
    """Return the purpose of an all-reduce, by its scope in exchange.py; '' for none.

    The descent's bucket holds the gradient first, then statistics and metrics.
    """
    if measured.program.outputs[-1].role == "sums":
        return "metrics"  # All that an evaluation exchanges.
    if not op_name:
        return ""
    scope, _, name = op_name.rpartition("/")
    if scope.endswith("descent"):
        number = re.search(r"_(\d+)$", name)
        position = int(number[1]) if number else 0
        for role, part in (("weights", "descent"), ("stats", "statistics")):
            position -= sum(t.role == role for t in measured.program.inputs)
            if position < 0:
                return part
        return "metrics"
    if scope.endswith(("ascent", "norm")):
        return "ascent"
    return "statistics"


def table(report: Mapping[str, Any]) -> str:
    """Return one topology's report as text."""
    lines = [
        f"{rows.title(report)}: {rows.extent(report)}",
        "",
        *_aligned(list(rows.figures(report["programs"]))),
        rows.CAVEAT,
        *rows.unreadable(report["programs"]),
        "",
    ]
    if "largest_batch" in report:
        lines += [rows.largest_batch(report["largest_batch"]), ""]
    if price := rows.micro_batches(report):
        lines += [price, ""]
    exchanged = list(rows.collectives(report["programs"]))
    lines += [*_aligned(exchanged), "", *_check_lines(report)]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]


def _check_lines(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{'pass' if check['is_passed'] else 'FAIL'}  {check['program']}: "
        f"{check['check']}" + (f" ({check['detail']})" if check["detail"] else "")
        for check in report["checks"]
    ]


def is_passed(reports: list[Mapping[str, Any]]) -> bool:
    """Whether every check of every topology passed."""
    return all(c["is_passed"] for report in reports for c in report["checks"])
