"""Tests of the steps that JAX executes, for the environment that can."""

import pytest

from sam_pod.pjrt import environment

needs_jax = pytest.mark.skipif(
    bool(environment.problem()), reason="bash tests/pjrt.sh makes what it needs"
)
