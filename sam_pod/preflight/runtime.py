"""For which runtime a run is compiled: TensorFlow's, or the one that JAX executes."""

import sys
from collections.abc import Sequence

import ml_collections

from sam_pod import errors
from sam_pod.pjrt import environment
from sam_pod.preflight.topologies import Topology


def is_jax(config: ml_collections.ConfigDict) -> bool:
    """Return whether JAX executes the steps of a run."""
    return config.runtime.strategy == "pjrt"


def name(config: ml_collections.ConfigDict) -> str:
    """Return the runtime's name, for a report."""
    return "JAX (pjrt)" if is_jax(config) else "TensorFlow"


def check(config: ml_collections.ConfigDict, targets: Sequence[Topology]) -> bool:
    """Refuse an environment of the other runtime; return whether JAX executes.

    Raises:
        UserError: the environment is not the runtime's, or a slice is JAX's alone.
    """
    if is_jax(config):
        environment.check()
        return True
    for target in targets:
        if target.accelerator.generation == "tpu7x":
            raise errors.UserError(
                f"TensorFlow does not run on {target.name}; JAX does, by "
                "--config.runtime.strategy=pjrt."
            )
        if not target.accelerator.is_of_tensorflow:
            print(
                f"Warning: TensorFlow does not train on {target.name}; "
                "--config.runtime.strategy=pjrt compiles what JAX runs there.",
                file=sys.stderr,
            )
    if not environment.problem():
        raise errors.UserError(
            "This environment is for steps that JAX executes: add "
            "--config.runtime.strategy=pjrt, or take the main environment, whose "
            "compiler is TensorFlow's."
        )
    return False
