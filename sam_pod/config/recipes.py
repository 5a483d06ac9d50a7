"""Recipes: Python files that state what differs from the defaults."""

import importlib.util
import os
import traceback
from collections.abc import Mapping

import ml_collections

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.process import path_flags


def load(recipe: str) -> ml_collections.ConfigDict:
    """Return the defaults with the recipe `FILE[:VARIANT]` laid over them, locked.

    Raises:
        UserError: no such file or variant, an unknown key, a wrong type.
    """
    path, _, variant = recipe.partition(":")
    try:
        path = path_flags.expand(path)
    except ValueError as error:
        raise errors.UserError(f"--config={path}: {error}.") from error
    if not os.path.isfile(path):
        raise errors.UserError(
            f"No recipe at {path!r}; --config takes FILE[:VARIANT], such as "
            "configs/resnet20.py:sgd."
        )
    spec = importlib.util.spec_from_file_location("sam_pod_recipe", path)
    if spec is None or spec.loader is None:
        raise errors.UserError(f"The recipe {path!r} is not a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(path, error) from error
    if not hasattr(module, "get_config"):
        raise errors.UserError(f"{path} has no get_config(variant) function.")
    variants = getattr(module, "VARIANTS", ("",))
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
    try:
        recipe_config = module.get_config(variant)
    except (Exception, SystemExit) as error:
        raise _broken(path, error) from error
    if not isinstance(recipe_config, ml_collections.ConfigDict):
        raise errors.UserError(
            f"get_config of {path} returns a {type(recipe_config).__name__}; it must "
            "return an ml_collections.ConfigDict."
        )
    return keys.lay_over_defaults(recipe_config, path)


def _broken(path: str, error: Exception) -> errors.UserError:
    """Return an error that names the line of the recipe, as a traceback would."""
    line = getattr(error, "lineno", None)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno
    reason = " ".join(str(getattr(error, "msg", error)).split())
    return errors.UserError(
        f"{path}, line {line}: {type(error).__name__}: {reason}. Fix the recipe."
    )
