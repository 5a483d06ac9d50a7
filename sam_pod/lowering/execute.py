"""Run a lowered program on virtual devices of this machine's CPU.

XLA's CPU backend really carries out the all-reduces between the devices. There are as
many as `--xla_force_host_platform_device_count` in XLA_FLAGS says.
"""

from collections.abc import Sequence

import jax
import numpy as np

from sam_pod import errors
from sam_pod.lowering import private, stablehlo
from sam_pod.lowering.programs import Program


def virtual_devices(count: int) -> list[jax.Device]:
    """Return so many of this machine's CPU.

    Raises:
        UserError: there are too few.
    """
    devices = jax.devices("cpu")[:count]
    if len(devices) < count:
        raise errors.UserError(
            f"There are {len(devices)} virtual devices for {count} replicas; set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={count}."
        )
    return devices


class Executable:
    """A program compiled for as many virtual devices as it has replicas."""

    def __init__(self, program: Program) -> None:
        """Compile.

        Raises:
            UserError: there are too few devices.
        """
        count = program.num_replicas
        self._devices = virtual_devices(count)
        options = private.COMPILE_OPTIONS.get()(
            num_replicas=count,
            num_partitions=1,
            device_assignment=np.arange(count).reshape(count, 1),
        )
        client = self._devices[0].client
        self._compiled = client.compile(stablehlo.bytecode(program.hlo), options)

    def __call__(self, inputs: Sequence[Sequence[np.ndarray]]) -> list[list]:
        """Return for each replica its outputs; `inputs[r]` are those of replica r."""
        with jax.experimental.enable_x64():
            buffers = [
                [jax.device_put(x, d) for x, d in zip(xs, self._devices, strict=True)]
                for xs in zip(*inputs, strict=True)
            ]
            outputs = self._compiled.execute_sharded(buffers)
            arrays = outputs.disassemble_into_single_device_arrays()
            return [
                [np.asarray(per_device[r]) for per_device in arrays]
                for r in range(len(self._devices))
            ]
