"""Which errors mean that another machine of the run, or its storage, is gone."""

from sam_pod import errors

# What TensorFlow raises when another machine, or the storage, is gone.
_LOST = {
    "UnavailableError",
    "AbortedError",
    "DeadlineExceededError",
    "StorageLost",  # Ours.
}
# JAX has one type for all, a program that does not compile included, and says first
# which kind it is.
_JAX = "JaxRuntimeError"
_LOST_IN_JAX = ("UNAVAILABLE:", "ABORTED:", "DEADLINE_EXCEEDED:")
# What both raise for that at other times, recognized by the words.
_LOST_IN_WORDS = {
    "CancelledError",
    "FailedPreconditionError",
    "InternalError",
    _JAX,
    "ValueError",  # Of JAX as well, where one CPU device computes at once.
}
_WORDS_OF_LOSS = (
    "connection reset",
    "failed to connect",
    "heartbeat",
    "incarnation",
    "socket closed",
    "collective ops is aborted",
    "gloo",
)


def is_lost_worker(error: BaseException) -> bool:
    """Return whether an error says that another machine of the run is gone.

    Nothing can be saved then: the variables were on that machine, or wait for it.
    """
    names = errors.type_names(error)
    words = str(error).lower()
    if "UserError" in names:
        return False
    if _JAX in names and str(error).startswith(_LOST_IN_JAX):
        return True
    return bool(names & _LOST) or (
        bool(names & _LOST_IN_WORDS) and any(w in words for w in _WORDS_OF_LOSS)
    )


def reason_of_loss(error: BaseException) -> str:
    """Return the line of an error that says what was lost, cut to 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (x for x in lines if any(w in x.lower() for w in _WORDS_OF_LOSS))
    return next(telling, " ".join(lines))[:200]
