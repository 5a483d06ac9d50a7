"""Errors that the user caused and can mend: one line, exit code 1, no traceback."""

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """Tell the user what is wrong, which rule it breaks and what to do, in one line."""


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


@contextlib.contextmanager
def storage(path: str) -> Iterator[None]:
    """Turn trouble with what is stored under `path` into a UserError.

    Local, that is a full disk or a missing right while writing: TensorFlow and Python
    report it by different types, with the words of the operating system in both.
    Remote, it is whatever does not pass by itself; the rest goes through.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if "://" in path:
            if _names(error) & _LASTING:
                raise UserError(remote(path, error, "objectAdmin")) from error
            raise
        reason = next(
            (words for words in _STORAGE_TROUBLE if words in str(error)), None
        )
        if reason is None:
            raise
        raise UserError(
            f"Cannot write under {path}: {reason}. Mend that and run the same command "
            "again; what was saved before is intact."
        ) from error


def remote(path: str, error: Exception, role: str) -> str:
    """Return in one line why a remote path cannot be used, and what helps.

    Args:
        path: Local ones are named as well.
        error: Of TensorFlow.
        role: What is needed on a bucket: 'objectViewer', 'objectAdmin'.
    """
    reason = " ".join(str(error).split())[:300].rstrip(".")
    if _names(error) & _REFUSED:
        remedy = f"give this machine's service account roles/storage.{role} on it"
    elif "://" in path:
        remedy = "check the path, the permissions and the network"
    else:
        remedy = "check the path and the permissions"
    return f"Cannot use {path} ({reason}): {remedy}."


def _names(error: Exception) -> set[str]:
    # By name, because importing TensorFlow takes seconds.
    return {kind.__name__ for kind in type(error).__mro__}


_REFUSED = {"PermissionDeniedError", "UnauthenticatedError"}
_LASTING = _REFUSED | {
    "AlreadyExistsError",
    "FailedPreconditionError",
    "InvalidArgumentError",
    "NotFoundError",
    "UnimplementedError",
}
_STORAGE_TROUBLE = (
    *(
        os.strerror(code)
        for code in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.EISDIR,
            errno.ENOENT,
        )
    ),
    "is not a directory",  # TensorFlow's own words.
)
