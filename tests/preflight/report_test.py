"""The report: what each exchange is for, and the table against a report by hand."""

import collections
import dataclasses
import re

import pytest

from sam_pod.preflight import checks, remembered, report, rows
from sam_pod.preflight import measured as measured_lib
from sam_pod.preflight.checks import Check
from tests.preflight import reports, steps
from tests.preflight.programs import needs_libtpu

SCALARS = 4 * 4  # loss, perturbed loss, accuracy, norm


def bytes_by_pass(measured):
    found = collections.Counter()
    for collective in report._collectives(measured):
        assert sum(collective["bytes_by_pass"].values()) == collective["bytes"]
        found.update(collective["bytes_by_pass"])
    return found


def expected(measured, *, ascents, ascent_scalars=0):
    gradient = measured.gradient_bytes
    stats = sum(t.num_bytes for t in measured.program.inputs if t.role == "stats")
    found = {
        "ascent": ascents * gradient + 4 * ascent_scalars,
        "descent": gradient,
        "statistics": stats,
        "metrics": SCALARS,
    }
    return {name: size for name, size in found.items() if size}


@pytest.mark.parametrize(
    ("sync", "micro_batches", "ascents", "scalars"),
    [
        ("global", 1, 1, 0),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (("norm", 1, 0, 1), ("2", 2, 2, 0))
        ),
    ],
)
def test_every_byte_exchanged_belongs_to_a_pass(sync, micro_batches, ascents, scalars):
    measured = steps.lowered(steps.small(sync=sync, micro_batches=micro_batches))
    assert bytes_by_pass(measured) == expected(
        measured, ascents=ascents, ascent_scalars=scalars
    )
    sizes = {found["group_size"] for found in report._collectives(measured)}
    assert sizes == ({4, 2} if sync == "2" else {4})


def test_a_program_that_cannot_be_read_is_told_by_what_is_known():
    """Its exchanges, before compilation; what is donated, by the compiler's figures."""
    program = steps.lower(steps.small())
    state = steps.lowered(steps.small()).state_bytes
    held = sum(tensor.num_bytes for tensor in program.inputs)
    figures = {
        **{"flops": 1e6, "bytes_accessed": 1e6, "seconds": 1.0, "alias_bytes": state},
        **{"argument_bytes": held, "output_bytes": state, "code_bytes": 7},
        **{"temporary_bytes": 99, "unreadable": "1 operand,\nbut sees 3"},
    }
    compiled = remembered.Compiled(figures, "")
    found = measured_lib.Measured(program, compiled, steps.V5E)
    of_step = checks.of_step(found, None, "float32")
    assert all(check.is_passed for check in of_step), of_step
    assert found.share.total == held + 99 + 7
    one = report.of_topology(steps.V5E, {"SAM step": found}, {"SAM step": of_step})
    assert len(one["programs"]["SAM step"]["collectives"]) == len(found.exchanges)
    text = report.table(one)
    line = next(line for line in text.splitlines() if "does not read" in line)
    assert line.startswith("SAM step: ") and "(1 operand, but sees 3)" in line
    assert re.search(r"in HBM +-\n", text)
    figures["alias_bytes"] = state - 1
    assert not checks.donates(found).is_passed


SPLIT = """HloModule m, is_scheduled=true

%all-reduce-scatter.2 (p: f32[144,8]) -> f32[36,8] {
  %all-reduce.1 = f32[144,8] all-reduce(f32[144,8] %p), replica_groups={{0,1},{2,3}}
}

%all-gather.2 (q: f32[36,8]) -> f32[72,8] {
  %all-reduce.2 = f32[72,8] all-reduce(f32[72,8] %q), replica_groups={{0,1},{2,3}}
}

ENTRY %main (p: f32[144,8]) -> f32[144,8] {
  %all-reduce.3 = f32[8] all-reduce(f32[8] %a), replica_groups={{0,1,2,3}}, metadata={op_name="ascent/XlaAllReduce"}
DESCENT
}
"""  # noqa: E501


def test_stages_of_an_exchange_belong_to_the_pass_that_they_are_missing_from():
    measured = steps.lowered(steps.small(sync="global"))
    names = [n for c in measured.exchanges for n, _ in c.operands if "descent" in n]
    sizes = [s for c in measured.exchanges for n, s in c.operands if "descent" in n]
    descent = "\n".join(
        f"  %all-reduce.{i + 4} = u8[{size}] all-reduce(u8[{size}] %a), "
        f'replica_groups={{{{0,1,2,3}}}}, metadata={{op_name="{name}"}}'
        for i, (name, size) in enumerate(zip(names, sizes, strict=True))
    )
    text = SPLIT.replace("DESCENT", descent)
    split = dataclasses.replace(
        measured, compiled=dataclasses.replace(measured.compiled, text=text)
    )
    stages = list(report._collectives(split))[:3]
    assert [(s["kind"], s["group_size"], s["bytes_by_pass"]) for s in stages] == [
        ("reduce-scatter", 2, {"ascent": 4608}),
        ("all-gather", 2, {"ascent": 2304}),
        ("all-reduce", 4, {"ascent": 32}),
    ]
    # It is what the step asks for that has to be what the mode needs, and costs time.
    assert checks.collectives(split) == checks.collectives(measured)
    assert checks.collectives(split).is_passed


@needs_libtpu
def test_what_the_compiler_fused_still_belongs_to_its_pass():
    measured = steps.sam_step()
    by_pass = bytes_by_pass(measured)
    # A norm that all have already is not exchanged once more.
    by_pass["metrics"] += 4
    assert by_pass == expected(measured, ascents=1)
    found = report.of_program(measured)
    assert found["flops"] == measured.figures["flops"]
    assert found["memory_bytes"] == sum(found["memory"].values())
    assert found["roofline"]["images_per_second"] == pytest.approx(
        16 / found["roofline"]["step_seconds"]
    )


def test_a_program_that_did_not_compile_is_its_error_and_a_dash_in_the_table():
    measured = steps.lowered(steps.small(), error="no\n  such   thing")
    failed = Check("compiles", False, "no such thing")
    one = report.of_topology(steps.V5E, {"SAM step": measured}, {"SAM step": [failed]})
    assert one["programs"] == {"SAM step": {"error": "no such thing"}}
    assert (one["chips"], one["per_replica_batch_size"]) == (4, 4)
    assert not report.is_passed([one])
    lines = report.table(one).splitlines()
    assert lines[-1] == "FAIL  SAM step: compiles (no such thing)"
    assert any(line.split() == ["GFLOP", "-"] for line in lines)


def test_the_table_says_each_figure_in_its_unit_and_compares():
    one = {
        "topology": "v5e:4x4",
        "accelerator_type": "v5litepod-16",
        "chips": 16,
        "hosts": 4,
        "replicas": 16,
        "per_replica_batch_size": 128,
        "global_batch_size": 2048,
        "largest_batch": {"fits": 960, "fails": 1024},
        "programs": {
            "SAM step": reports.program(flops=2e11, accessed=4e9),
            "plain step": reports.program(flops=1e11, accessed=2.5e9),
        },
        "checks": [
            {"program": "SAM step", "check": "fits", "is_passed": True, "detail": ""}
        ],
    }
    lines = report.table(one).splitlines()
    assert lines[0] == (
        "v5e:4x4 (v5litepod-16): 16 chips, 4 host(s), 16 replicas; batch 128 a "
        "replica, 2048 global"
    )
    words = [line.split() for line in lines]
    assert ["GFLOP", "200.0", "100.0", "2.000"] in words
    assert ["GB", "accessed", "4", "2.5", "1.600"] in words
    assert ["FLOP", "a", "byte", "50", "40", "1.250"] in words
    assert "largest batch a replica: 960 fits, 1024 does not" in lines
    assert lines[-1] == "pass  SAM step: fits"
    figures = lines[2 : lines.index("", 2)]
    ratios = [line for line in figures if re.search(r" \d\.\d{3}$", line)]
    assert len(ratios) > 5 and len({len(line) for line in ratios}) == 1  # Aligned.
    assert report.is_passed([one])


def test_figures_of_one_chunk_are_called_so():
    one = {**reports.topology(), "accumulate_steps": 4}
    assert rows.extent(one).endswith(
        "steps in 4 chunks, of which operations and bytes are those of one"
    )
    assert "chunks" not in rows.extent({**one, "accumulate_steps": 1})


def test_micro_batches_have_their_price():
    one = {**reports.topology(), "micro_batches": 4}
    price = rows.micro_batches(one)
    batch = one["per_replica_batch_size"] // 4
    assert price.startswith(f"4 micro-batches of {batch}: a step accesses 2.03 x ")
    assert price in report.table(one).splitlines()
    assert rows.micro_batches({**one, "micro_batches": 1}) == ""
    failed = {**one["programs"], "plain step": {"error": "It does not fit."}}
    assert rows.micro_batches({**one, "programs": failed}) == ""
