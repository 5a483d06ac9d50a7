"""Which runtime versions (images) of TPU VMs are for JAX.

Source: cloud.google.com/tpu/docs/runtimes, "PyTorch and JAX". They hold no framework:
what the locks say is installed there, with a Python that uv brings where the image has
none that is new enough.
"""

from launch import runtime
from sam_pod import errors
from sam_pod.machines import accelerators

_NAMES = {
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
_OLDER = "tpu-ubuntu2204-base"


def default(accelerator: accelerators.Accelerator) -> str:
    """Return the runtime version to take for a slice when none is asked for."""
    return _NAMES.get(accelerator.generation, _OLDER)


def check(
    version: str, accelerator: accelerators.Accelerator, *, allow_broken: bool
) -> str:
    """Return a warning about a runtime version.

    Raises:
        UserError: it is TensorFlow's; `allow_broken` lets it through.
    """
    wanted = default(accelerator)
    if version.startswith("tpu-vm-tf-") and not allow_broken:
        raise errors.UserError(
            f"Runtime {version} is TensorFlow's, whose servers take the chips, and JAX "
            f"executes this run's steps: take {wanted}, or --allow_broken_runtime."
        )
    if version != wanted:
        return (
            f"Warning: runtime {version} on {accelerator.name} is untried for JAX; "
            f"Google names {wanted}."
        )
    return f"Warning: {runtime.UNSEEN}."
