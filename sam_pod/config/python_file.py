"""A Python file that says something: a recipe, or a study's page."""

import importlib.util
import os
import traceback
from collections.abc import Mapping
from typing import Any

from sam_pod import errors


def call(path: str, function: str, variant: str, kind: str) -> Any:
    """Return what a function of the file returns for a variant.

    Args:
        path: The file's path.
        function: The function's name; it takes the variant.
        variant: One of the file's VARIANTS, '' where it has none.
        kind: What the file is, in messages: 'recipe'.

    Raises:
        UserError: no Python file, one that fails, or no such function or variant.
    """
    spec = importlib.util.spec_from_file_location(f"sam_pod_{kind}", path)
    if spec is None or spec.loader is None:
        raise errors.UserError(f"The {kind} {path!r} is not a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(path, error, kind) from error
    if not hasattr(module, function):
        raise errors.UserError(f"{path} has no {function}(variant) function.")
    _check_variant(path, variant, getattr(module, "VARIANTS", ("",)))
    try:
        return getattr(module, function)(variant)
    except (Exception, SystemExit) as error:
        raise _broken(path, error, kind) from error


def _check_variant(path: str, variant: str, variants: Any) -> None:
    if not (
        isinstance(variants, list | tuple | set | frozenset | Mapping)
        and all(isinstance(name, str) for name in variants)
    ):
        raise errors.UserError(
            f"VARIANTS of {path} is {str(variants)[:80]}; it must be a list of texts, "
            "such as ('', 'small')."
        )
    if variant not in variants:
        guess = errors.nearest(variant, variants)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise errors.UserError(
            f"{path} has no variant {variant!r}; it has "
            f"{[name for name in variants if name]}.{hint}"
        )


def _broken(path: str, error: BaseException, kind: str) -> errors.UserError:
    """Return an error that names the line of the file, as a traceback would."""
    line = getattr(error, "lineno", None)
    for frame in traceback.extract_tb(error.__traceback__):
        if os.path.abspath(frame.filename) == os.path.abspath(path):
            line = frame.lineno
    reason = " ".join(str(getattr(error, "msg", error)).split())
    return errors.UserError(
        f"{path}, line {line}: {type(error).__name__}: {reason}. Fix the {kind}."
    )
