"""Each member's programs, lowered: they exchange what is declared, and nothing more."""

import pytest

from sam_pod import sam
from sam_pod.lowering import programs
from sam_pod.preflight import checks, measured, remembered, topologies
from tests import fixtures
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu

REPLICAS, BATCH, SHAPE = 4, 4, (6, 6, 3)
V5E = topologies.parse("v5e:2x2")
NET = fixtures.small_model()
MEMBERS = {
    "sam": sam.sam.build(),
    "largest": sam.sam.build("1"),
    "random": sam.random.build(),
    "asam": sam.asam.build(NET.roles()),
    "gsam": sam.gsam.build(),
    "looksam": sam.looksam.build(),
    "esam": sam.esam.build(),
    "wsam": sam.wsam.build(),
    "sam_on": sam.sam_on.build(NET.roles()),
    "friendly": sam.friendly.build(),
    "vasso": sam.vasso.build(),
    "msam": sam.msam.build(),
}
FAST = (("gsam", "2", 2), ("looksam", "replica", 1), ("sam_on", "global", 2))
# Groups of micro-batches: of one whose ascent is every step's, of one that has steps
# between, and of those that send more than two gradients.
PARTS = dict.fromkeys(("sam", "gsam", "looksam", "sam_on", "friendly"), (1, 2))
CASES = [
    pytest.param(*case, marks=[] if case in FAST else [pytest.mark.slow])
    for case in (
        (name, sync, parts)
        for name in MEMBERS
        for sync in ("global", "replica", "2")
        for parts in PARTS.get(name, (1,))
    )
]


def lowered(name, sync="global", parts=1, place=0):
    recipe = fixtures.small_recipe(
        NET, variant=MEMBERS[name], sync=sync, micro_batches=parts
    )
    return programs.train_step(
        recipe,
        SHAPE,
        num_replicas=REPLICAS,
        per_replica_batch_size=BATCH,
        variant=recipe.programs[place],
    )


@pytest.mark.parametrize(("name", "sync", "parts"), CASES)
def test_collectives_are_those_that_are_declared(name, sync, parts):
    for place in range(2 if MEMBERS[name].between else 1):
        program = lowered(name, sync, parts, place)
        not_compiled = remembered.Compiled({"error": ""}, "")
        found = measured.Measured(program, not_compiled, V5E, parts)
        check = checks.collectives(found)
        assert check.is_passed, check
        memory = [t for t in program.inputs if t.role == "memory"]
        weights = [t for t in program.inputs if t.role == "weights"]
        kept = len(MEMBERS[name].memory_names)
        assert len(memory) == kept * len(weights) + bool(kept)


@needs_libtpu
@pytest.mark.slow
def test_the_tpu_compiler_passes_a_step_between_and_spares_sam_ons_kernels():
    plain = steps.compiled(plain_step())
    between = steps.compiled(lowered("looksam", place=1))
    for check in checks.of_step(between, plain, "float32"):
        assert check.is_passed, check
    some = steps.compiled(lowered("sam_on", "replica"))
    for check in checks.of_step(some, plain, "float32"):
        assert check.is_passed, check
    assert some.figures["flops"] <= 1.75 * plain.figures["flops"]


def plain_step():
    recipe = fixtures.small_recipe(NET, rho=0.0)
    return programs.train_step(
        recipe, SHAPE, num_replicas=REPLICAS, per_replica_batch_size=BATCH
    )
