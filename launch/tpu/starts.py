"""How a run is installed and started on a slice, by TensorFlow or by JAX."""

import dataclasses
from collections.abc import Sequence

from launch.tpu import runtimes


@dataclasses.dataclass(frozen=True)
class Start:
    """What is run on which hosts of a slice.

    TensorFlow drives a slice from its first host. JAX wants the same command on every
    host, and finds there who the others are.
    """

    is_pod: bool
    by_jax: bool = False

    @property
    def workers(self) -> str:
        """Return the workers that run the command: 'all', or '0'."""
        return "all" if self.is_pod and self.by_jax else "0"

    def install_words(self, runtime_version: str) -> list[str]:
        """Return the arguments of install.sh."""
        if self.by_jax:
            return ["pjrt"]
        libtpu = [] if self.is_pod else [runtimes.LIBTPU, runtimes.LIBTPU_PAGE]
        return [runtimes.tensorflow_version(runtime_version), *libtpu]

    def command(self, arguments: Sequence[str], tpu: str) -> list[str]:
        """Return the command that trains, in the project's folder.

        Args:
            arguments: The trainer's.
            tpu: The value of --tpu, which JAX does not need.
        """
        variables = (
            {"PYTHONUNBUFFERED": "1"}
            if self.by_jax
            else runtimes.environment(self.is_pod)
        )
        return [
            "env",
            *(f"{key}={value}" for key, value in variables.items()),
            *(".venv/bin/python", "-m", "sam_pod.main"),
            *arguments,
            *([] if self.by_jax else [f"--tpu={tpu}"]),
        ]
