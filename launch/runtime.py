"""Who executes a run's steps on a TPU slice: TensorFlow's own runtime, or JAX."""

from sam_pod import errors
from sam_pod.machines import accelerators

JAX_FLAG = "--config.runtime.strategy=pjrt"
UNSEEN = (
    "no run whose steps JAX executes has been seen on a TPU yet; docs/pjrt.md says "
    "what is untried"
)


def is_jax(strategy: str, accelerator: accelerators.Accelerator) -> bool:
    """Return whether JAX executes the steps of a run with this `runtime.strategy`.

    Raises:
        UserError: it is for no TPU, or TensorFlow has no way to this one.
    """
    if strategy not in ("auto", "tpu", "pjrt"):
        raise errors.UserError(
            f"`runtime.strategy` is {strategy!r}; on a TPU it must be 'auto', 'tpu' or "
            "'pjrt'."
        )
    if strategy == "tpu" and not accelerator.is_of_tensorflow:
        raise errors.UserError(
            f"`runtime.strategy` is 'tpu', and TensorFlow does not train on "
            f"{accelerator.name}: take 'auto' or 'pjrt', with which JAX does."
        )
    return strategy == "pjrt" or not accelerator.is_of_tensorflow
