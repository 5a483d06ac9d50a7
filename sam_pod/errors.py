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
    """Turn a full disk or a missing right while writing under `path` into a UserError.

    TensorFlow and Python report the same trouble by different types; the words of the
    operating system are in both.
    """
    try:
        yield
    except Exception as error:
        reason = next(
            (words for words in _STORAGE_TROUBLE if words in str(error)), None
        )
        if reason is None:
            raise
        raise UserError(
            f"Cannot write under {path}: {reason}. Mend that and run the same command "
            "again; what was saved before is intact."
        ) from error


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
