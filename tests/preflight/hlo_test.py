"""XLA's text is read as it is printed, and collectives carry what the mode asks for."""

import collections
import functools

import pytest

from sam_pod.preflight import hlo
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu

WEIGHTS = 4 * (3 * 3 * 3 * 4 + 4 + 4 + 4 * 5 + 5)  # Bytes, of fixtures.small_model.
STATISTICS = 2 * 4 * 4
SCALARS = 4 * 4  # Loss, perturbed loss, accuracy and norm.

# ruff: noqa: E501
COMPILED = """HloModule m, is_scheduled=true

%body.1 (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %arg = (s32[]{:T(128)}, f32[4]{0:T(128)}) parameter(0)
  %x = f32[4]{0:T(128)} get-tuple-element((s32[], f32[4]) %arg), index=1
  %all-reduce.2 = f32[4]{0:T(128)} all-reduce(f32[4]{0:T(128)} %x), replica_groups={{0,1},{2,3}}, metadata={op_name="inside/sum"}
  ROOT %t = (s32[]{:T(128)}, f32[4]{0:T(128)}) tuple(s32[] %x, f32[4] %all-reduce.2)
}

ENTRY %main (p: ((f32[4], bf16[2,300]), s32[])) -> f32[4] {
  %p = ((f32[4]{0:T(128)}, bf16[2,300]{1,0:T(8,128)(2,1)S(1)}), s32[]{:T(128)}) parameter(0)
  %w = (s32[]{:T(128)}, f32[4]{0:T(128)}) while((s32[], f32[4]) %p), condition=%c, body=%body.1
  %start = (f32[8]{0:T(128)}, bf16[6]{0:T(256)}) all-reduce-start(f32[8]{0:T(128)} %a, /*index=1*/bf16[6] %b), replica_groups=[2,2]<=[4], metadata={op_name="ascent/bucket"}
  %done = (f32[8]{0:T(128)}, bf16[6]{0:T(256)}) all-reduce-done((f32[8], bf16[6]) %start)
  %get.1 = bf16[6]{0} get-tuple-element((f32[8], bf16[6]) %done), index=1, metadata={op_name="ascent/second"}
  %gather = (f32[8]{0}, f32[16]{0}) all-gather-start(f32[8]{0} %a), replica_groups={}
  %permute = (f32[8]{0}, f32[8]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(f32[8]{0} %a), source_target_pairs={{0,1}}
  ROOT %out = f32[4]{0:T(128)} get-tuple-element((s32[], f32[4]) %w), index=1
}
"""


def test_computations_nested_tuples_and_loops_are_read():
    module = hlo.parse(COMPILED)
    assert module.entry == "main"
    assert list(module.computations) == ["body.1", "main"]
    by_name = {i.name: i for i in module.instructions()}
    assert [s.dims for s in by_name["p"].shapes] == [(4,), (2, 300), ()]
    assert by_name["w"].opcode == "while"
    assert by_name["w"].attribute("body") == "body.1"
    assert by_name["w"].operands == ("p",)
    assert by_name["start"].operands == ("a", "b")
    assert by_name["out"].opcode == "get-tuple-element"  # On a ROOT line, too.


def test_collectives_are_found_in_loops_and_in_started_and_done_pairs():
    found = hlo.collectives(hlo.parse(COMPILED))
    assert [(c.kind, c.operands, c.groups) for c in found] == [
        ("all-reduce", (("inside/sum", 16),), ((0, 1), (2, 3))),
        (
            "all-reduce",
            (("ascent/bucket", 32), ("ascent/second", 12)),
            ((0, 1), (2, 3)),
        ),
        ("all-gather", (("", 64),), ()),
        ("collective-permute", (("", 32),), ()),
    ]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("{{0,1},{2,3}}", ((0, 1), (2, 3))),
        ("{}", ()),
        ("[2,4]<=[8]", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("[4,2]<=[2,4]T(1,0)", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("[2,4]<=[2,2,2]T(1,0,2)", ((0, 1, 4, 5), (2, 3, 6, 7))),
    ],
)
def test_replica_groups_are_read_as_lists_and_as_transposed_tables(text, groups):
    line = (
        f"  %r = f32[4]{{0}} all-reduce(f32[4] %a), replica_groups={text}, to_apply=%s"
    )
    (found,) = hlo.collectives(hlo.parse(f"ENTRY %m () -> f32[] {{\n{line}\n}}"))
    assert found.groups == groups


@pytest.mark.parametrize(
    ("text", "num_bytes", "padded", "is_in_hbm"),
    [
        ("f32[4]{0:T(128)}", 16, 512, True),
        ("f32[]{:T(128)}", 4, 512, True),
        ("s64[]{:T(128)}", 8, 1024, True),
        ("bf16[2,300]{1,0:T(8,128)(2,1)S(1)}", 1200, 2 * 8 * 384, False),
        ("u8[4,6,6,3]{2,0,3,1:T(4,128)(4,1)}", 432, 6 * 3 * 4 * 128, True),
        ("pred[3,5]{1,0}", 15, 15, True),
        ("f32[<=8,4]{1,0}", 128, 128, True),
        ("f8e4m3fn[10]{0}", 10, 10, True),
    ],
)
def test_shapes_take_what_their_tiles_take(text, num_bytes, padded, is_in_hbm):
    (shape,) = hlo.shapes(text)
    assert (shape.num_bytes, shape.padded_bytes) == (num_bytes, padded)
    assert shape.is_in_hbm == is_in_hbm
    assert shape.is_dynamic == ("<=" in text)


def by_group(measured):
    found = collections.Counter()
    for collective in measured.collectives:
        assert collective.kind == "all-reduce"
        found[collective.groups] += collective.num_bytes
    return found


ALL, PAIRS = ((0, 1, 2, 3),), ((0, 1), (2, 3))
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rho": 0.0}, {ALL: WEIGHTS + STATISTICS + SCALARS - 4}),
        ({"sync": "global"}, {ALL: 2 * WEIGHTS + STATISTICS + SCALARS}),
        slow({"sync": "replica"}, {ALL: WEIGHTS + STATISTICS + SCALARS}),
        slow({"sync": "norm"}, {ALL: WEIGHTS + STATISTICS + SCALARS + 4}),
        slow({"sync": "2"}, {ALL: WEIGHTS + STATISTICS + SCALARS, PAIRS: WEIGHTS}),
        (
            {"sync": "2", "micro_batches": 2},
            {ALL: WEIGHTS + STATISTICS + SCALARS, PAIRS: 2 * WEIGHTS},
        ),
        slow(
            {"sync": "global", "accumulate_steps": 2},
            {ALL: 2 * WEIGHTS + STATISTICS + SCALARS},
        ),
    ],
)
def test_each_mode_exchanges_its_gradients_statistics_and_scalars(options, expected):
    assert by_group(steps.lowered(steps.small(**options))) == expected


@needs_libtpu
def test_the_compiler_fuses_the_exchange_into_ascent_and_descent():
    measured = steps.sam_step()
    ascent, descent = measured.collectives
    assert ascent.num_bytes == WEIGHTS
    # It sees that the norm of a reduced gradient is the same everywhere already.
    assert descent.num_bytes == WEIGHTS + STATISTICS + SCALARS - 4
    assert {name.split("/")[0] for name, _ in ascent.operands} == {"ascent"}
    assert {name.split("/")[0] for name, _ in descent.operands} == {"descent"}
    assert (len(ascent.operands), len(descent.operands)) == (5, 5 + 2 + 3)
    assert by_group(measured) == {ALL: ascent.num_bytes + descent.num_bytes}
