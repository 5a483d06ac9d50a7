"""Recipes: Python files that state what differs from the defaults."""

import os

import ml_collections

from sam_pod import errors
from sam_pod.config import keys, python_file
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
    recipe_config = python_file.call(path, "get_config", variant, "recipe")
    if not isinstance(recipe_config, ml_collections.ConfigDict):
        raise errors.UserError(
            f"get_config of {path} returns a {type(recipe_config).__name__}; it must "
            "return an ml_collections.ConfigDict."
        )
    return keys.lay_over_defaults(recipe_config, path)
