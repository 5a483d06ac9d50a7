"""Paths that a user gives: a `~` at the beginning is a home folder.

A shell expands the `~` of an argument of its own, but not that of `--flag=~/x`.
"""

import os

from absl import flags


def expand(path: str) -> str:
    """Return the path with `~` or `~USER` at its beginning as that home folder.

    Any other path, also one in a bucket, is returned as it is; `./~` is a file of that
    name.

    Raises:
        ValueError: this machine has no such home folder.
    """
    if not path.startswith("~"):
        return path
    whole = os.path.expanduser(path)
    if not whole.startswith("~"):
        return whole
    user = path[1:].partition("/")[0]
    if user:
        raise ValueError(
            f"this machine has no user {user!r}; give the whole path, or ./{path} for "
            "a file of that name"
        )
    raise ValueError(
        "your home folder is not known here; set HOME, or give the whole path"
    )


class _Parser(flags.ArgumentParser):
    """Takes a path."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        """Return the path, expanded."""
        return expand(argument)

    def flag_type(self) -> str:
        """Return what kind of value the flag has."""
        return "path"


def define(
    name: str, default: str | None, text: str, flag_values: flags.FlagValues
) -> None:
    """Define a flag whose value is a path."""
    flags.DEFINE(
        _Parser(), name, default, text, flag_values, flags.ArgumentSerializer()
    )
