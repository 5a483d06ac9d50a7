"""How a global batch divides."""

from sam_pod import errors


def per_replica_batch_size(
    global_batch_size: int,
    num_replicas: int,
    num_parts: int = 1,
    *,
    name: str = "`global_batch_size`",
) -> int:
    """Return the examples that each replica takes of a global batch.

    Args:
        global_batch_size: Examples per step, over all replicas.
        num_replicas: The number of replicas that share them.
        num_parts: The number of parts into which each replica splits its share:
            `sam.micro_batches` times `accumulate_steps`.
        name: Where the first of these was given.

    Raises:
        UserError: the batch does not divide by the replicas and their parts.
    """
    divisor = num_replicas * num_parts
    if global_batch_size % divisor:
        below = global_batch_size - global_batch_size % divisor
        above = below + divisor
        remedy = f"{below} or {above}" if below else f"{above}"
        parts = (
            f", times `sam.micro_batches` and `accumulate_steps` ({num_parts})"
            if num_parts > 1
            else ""
        )
        raise errors.UserError(
            f"{name} ({global_batch_size}) must be divisible by the "
            f"number of replicas ({num_replicas}){parts}: take {remedy}."
        )
    return global_batch_size // num_replicas
