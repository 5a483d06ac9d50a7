"""Packages that only some sources need, pinned in files beside this one."""

import importlib
import os
import shlex
from types import ModuleType

from sam_pod import errors


def load(module: str, lock: str) -> ModuleType:
    """Import and return a module.

    Args:
        module: The module's name.
        lock: The file in this folder that pins what it needs.

    Raises:
        UserError: it is not installed; the line has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        path = os.path.join(os.path.dirname(__file__), lock)
        raise errors.UserError(
            f"This source needs {module} ({error}): install it with `python -m pip "
            f"install --no-deps --require-hashes --requirement "
            f"{shlex.quote(path)}`."
        ) from error
