"""Errors that the user caused and can fix: one line, exit code 1, no traceback."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from sam_pod import redaction

T = TypeVar("T")


class UserError(ValueError):
    """One line for the user: what is wrong, which rule it breaks and what to do."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name closest to `name`, or '' when none is close."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.5)), "")


def lookup(table: Mapping[str, T], name: str, key: str) -> T:
    """Return `table[name]`.

    Raises:
        UserError: `name`, the value of config key `key`, is not in the table.
    """
    if name in table:
        return table[name]
    guess = nearest(name, table)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UserError(f"`{key}` is {name!r}; it must be one of {sorted(table)}.{hint}")


def reason(error: Exception) -> str:
    """Return what an error says, on one line and without credentials."""
    return redaction.redact(" ".join(str(error).split()))[:300].rstrip(".")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or this machine has no memory left."""
    names, words = type_names(error), str(error).lower()
    return "MemoryError" in names or (
        bool(names & _KINDS_OF_MEMORY) and any(w in words for w in _WORDS_OF_MEMORY)
    )


def type_names(error: BaseException) -> set[str]:
    """Return the names of an error's class and of all that it derives from.

    TensorFlow's errors are recognized by name, because importing it takes seconds.
    """
    return {kind.__name__ for kind in type(error).__mro__}


# Words of TensorFlow, XLA and CUDA; buckets and gRPC use these types for other things.
_WORDS_OF_MEMORY = (
    "oom when allocating",
    "out of memory",
    "out_of_memory",
    "failed to allocate",
    "alloc_failed",
    "ran out of memory in memory space",
    "exceeds the memory",
    "dst tensor is not initialized",  # A copy to a GPU that had no room.
)
_KINDS_OF_MEMORY = {
    "ResourceExhaustedError",
    "InternalError",
    "XlaRuntimeError",
    "JaxRuntimeError",
    "UnknownError",
}
