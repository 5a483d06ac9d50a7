"""Preflight of steps that JAX executes: compiled for slices, run on virtual devices."""

import os
import subprocess
import sys

import pytest

from sam_pod.lowering import programs
from sam_pod.preflight import checks, compiler, execution, measured, topologies
from tests import fixtures, runs
from tests.pjrt import needs_jax
from tests.pjrt.loop_test import recipe_of
from tests.preflight.programs import needs_libtpu

pytestmark = needs_jax

REPLICAS, BATCH = 4, 16
# For ||a - b|| / ||b||: float32 sums in another order, and nothing else.
BOUND = 2e-5


def compared(recipe, whole):
    return execution.compare_recipes(
        recipe,
        execution.reference(whole, whole, REPLICAS),
        fixtures.batches(2, BATCH),
        num_replicas=REPLICAS,
        bound=BOUND,
        by_jax=True,
    )


@pytest.mark.parametrize("sync", ["global", pytest.param("2", marks=pytest.mark.slow)])
def test_the_jitted_step_equals_the_whole_batch(sync):
    recipe = recipe_of(sync=sync)
    found = compared(recipe, recipe)
    assert found.is_passed and found.are_replicas_equal, found
    assert 0 < max(found.differences.values()) <= BOUND


@pytest.mark.slow
def test_another_exchange_than_the_one_declared_shows():
    found = compared(recipe_of(sync="replica"), recipe_of(sync="global"))
    assert not found.is_passed


def step_for(topology):
    slice_ = topologies.parse(topology)
    program = programs.train_step(
        recipe_of(),
        (6, 6, 3),
        num_replicas=slice_.num_replicas,
        per_replica_batch_size=4,
    )
    return compiler.Job(f"step for {topology}", program, slice_, by_jax=True)


def compile_one(job, cache):
    (result,) = compiler.compile_all(
        [job], num_processes=1, progress=lambda line: None, cache=cache
    )
    return measured.Measured(job.program, result, job.topology)


@pytest.mark.slow
@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "kind"),
    [
        ("v5e:2x2", "TPU v5 lite"),
        ("v6e:2x4", "TPU v6 lite"),  # Of two hosts.
        ("tpu7x:2x2x1", "TPU7x"),
    ],
)
def test_the_jitted_step_is_compiled_for_slices_of_today(topology, kind, tmp_path):
    job = step_for(topology)
    found = compile_one(job, tmp_path)
    assert found.error == ""
    assert found.figures["device_kind"] == kind
    failed = [c for c in checks.of_step(found, None, "float32") if not c.is_passed]
    assert failed == []
    # Two exchanges, the ascent's and the descent's, among all devices.
    assert len(found.collectives) == 2
    assert all(len(c.groups) <= 1 for c in found.collectives)
    assert found.share.total > found.state_bytes
    assert compile_one(job, tmp_path).compiled.is_cached


_COUNT = """
import sys
from jax.experimental import topologies as theirs
from sam_pod.preflight import topologies
for name in sys.argv[1:]:
    ours = topologies.parse(name)
    found = theirs.get_topology_desc(
        platform="tpu", topology_name=ours.compiler_name, **ours.compiler_options
    ).devices
    assert len(found) == ours.num_replicas, (name, len(found))
"""


@pytest.mark.slow
@needs_libtpu
def test_the_compiler_counts_the_devices_of_slices_as_we_do():
    """In a process of its own: it keeps libtpu for good."""
    names = ["v2-8", "v3-32", "v4-16", "v5p-16", "v5litepod-16", "v6e-1", "v6e-256"]
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, *names, "tpu7x-2", "tpu7x-8", "tpu7x-128"],
        env={
            **os.environ,
            **compiler._ENVIRONMENT,
            "TPU_LIBRARY_PATH": compiler._library(),
        },
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
