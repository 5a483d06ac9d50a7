"""Small programs to compile, and what is needed to compile them."""

import functools
import importlib.util

import pytest

from sam_pod.lowering import programs
from sam_pod.preflight import compiler, topologies
from tests import fixtures

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is not installed: tests/run.sh --slow installs it",
)


@functools.cache
def small_step(per_replica_batch_size=4):
    """Return the training step of a tiny net on four replicas."""
    return programs.train_step(
        fixtures.small_recipe(fixtures.small_model()),
        (6, 6, 3),
        num_replicas=4,
        per_replica_batch_size=per_replica_batch_size,
    )


def job(topology="v5e:2x2", program=None):
    return compiler.Job(
        f"step for {topology}", program or small_step(), topologies.parse(topology)
    )
