"""Memory that is not enough, of a device or of this machine: one line that helps."""

import contextlib
from collections.abc import Iterator

import ml_collections

from sam_pod import errors, wording


def of_this_machine(error: Exception) -> str:
    """Return the line for a command that ran out of this machine's memory."""
    reason = _reason(error)
    return (
        f"Out of memory ({reason}): this machine has too little for that; end what "
        "else needs memory here, or use a larger machine."
    )


@contextlib.contextmanager
def explained(config: ml_collections.ConfigDict, num_replicas: int) -> Iterator[None]:
    """Turn errors that a run raises for lack of memory into an error of the user's.

    No launcher restarts after it: the same command needs the same memory.

    Args:
        config: The run's config.
        num_replicas: The number of replicas that share its batch.
    """
    try:
        yield
    except Exception as error:
        if not errors.is_out_of_memory(error):
            raise
        if isinstance(error, MemoryError):
            remedy = _of_this_machine(config)
        else:
            remedy = _of_a_device(config, num_replicas)
        raise errors.UserError(f"Out of memory ({_reason(error)}): {remedy}") from error


def _reason(error: Exception) -> str:
    # The first line has the shape and the device; a traceback follows.
    first = str(error).strip().partition("\n")[0]
    return errors.reason(ValueError(first)) or type(error).__name__


def _of_a_device(config: ml_collections.ConfigDict, num_replicas: int) -> str:
    batch = config.global_batch_size
    share = batch // num_replicas
    images = wording.counted(share, "image", "images")
    parts = config.sam.micro_batches * config.accumulate_steps
    return (
        f"each of {num_replicas} replica(s) takes {images} of "
        f"`global_batch_size` {batch}, {share // parts} at once, for "
        f"`accumulate_steps` is {config.accumulate_steps}. Double "
        "`accumulate_steps` (slower, the same batch), or take a lower "
        "`global_batch_size` or `dtype` 'bfloat16', in another --workdir; "
        "`python -m sam_pod.preflight --find_batch` says what fits a TPU."
    )


def _of_this_machine(config: ml_collections.ConfigDict) -> str:
    return (
        "this machine has no memory left for the run: lower `data.memory_fraction` "
        f"({config.data.memory_fraction}; with 0 images are read from the disk), or "
        f"`global_batch_size` ({config.global_batch_size}), or raise "
        f"`accumulate_steps` ({config.accumulate_steps})."
    )
