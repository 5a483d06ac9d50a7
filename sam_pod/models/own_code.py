"""The user's own classes of a model's file: Python modules that the user trusts."""

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any

from sam_pod import errors
from sam_pod.process import path_flags

# A keyword of Python, so that no module has this name.
LAMBDA = "lambda"
_KEY = "`model.trusted_modules`"


def parse(names: str) -> list[str]:
    """Return the names that a comma-separated list has."""
    return [name.strip() for name in names.split(",") if name.strip()]


def allows_lambdas(names: str) -> bool:
    """Return whether the Python code that is in a model's file itself may run."""
    return LAMBDA in parse(names)


def load(names: str) -> dict[str, Any]:
    """Import the modules, and return their classes and functions by name.

    Args:
        names: Importable modules, or paths of .py files; comma-separated.

    Raises:
        UserError: a module cannot be found or imported.
    """
    found: dict[str, Any] = {}
    for name in _modules(names):
        module = _import(name)
        for key, value in vars(module).items():
            is_code = inspect.isclass(value) or inspect.isfunction(value)
            # Those of Keras and others that it imports stay what they are.
            if is_code and value.__module__.startswith(module.__name__):
                found[key] = value
    return found


def digest(names: str) -> str:
    """Return a SHA-256 over the modules' files; '' where none is named.

    Raises:
        UserError: a module cannot be found.
    """
    if not parse(names):
        return ""
    total = hashlib.sha256()
    if allows_lambdas(names):
        total.update(b"lambda\n")
    for name in _modules(names):
        for path in _sources(name):
            with open(path, "rb") as file:
                content = file.read()
            total.update(f"{os.path.basename(path)} {len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()


def are_there(names: str) -> bool:
    """Return whether every module is found."""
    try:
        return all(map(location, _modules(names)))
    except errors.UserError:
        return False


def _modules(names: str) -> list[str]:
    return [name for name in parse(names) if name != LAMBDA]


def is_file(name: str) -> bool:
    """Return whether a name is meant as a path, and not as one to import."""
    return name.endswith(".py") or "/" in name or name.startswith("~")


def _import(name: str) -> ModuleType:
    path = location(name)
    module_name = name
    if is_file(name):
        module_name = os.path.splitext(os.path.basename(path))[0]
    loaded = sys.modules.get(module_name)
    if loaded is not None:
        if os.path.realpath(getattr(loaded, "__file__", None) or "") == path:
            return loaded
        if is_file(name):
            raise errors.UserError(
                f"{_KEY} names {name}, and there is another module "
                f"{module_name!r} here: give the file another name."
            )
    try:
        if not is_file(name):
            return importlib.import_module(name)
        return _from_file(module_name, path)
    except Exception as error:  # Code can raise anything.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise errors.UserError(
            f"{_KEY} names {name}, which cannot be imported ({reason}): fix it, or "
            "name the file that it needs before it."
        ) from error


def _from_file(module_name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    # Modules beside it are found as if it ran as a script, but after all others.
    sys.path.append(os.path.dirname(path))
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    finally:
        sys.path.remove(os.path.dirname(path))
    return module


def location(name: str) -> str:
    """Return the real path of the file of a module, by its name or its path.

    Raises:
        UserError: there is none.
    """
    if is_file(name):
        try:
            path = os.path.realpath(path_flags.expand(name))
        except ValueError as error:
            raise errors.UserError(f"{_KEY} names {name}: {error}.") from error
        if os.path.isfile(path) and path.endswith(".py"):
            return path
        what = "no Python file (.py)" if os.path.exists(path) else "not there"
        raise errors.UserError(
            f"{_KEY} names {name}, which is {what}: give the path of a .py file, or "
            "the name of a module that can be imported."
        )
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # A package around it, which finding imports.
        spec = None
    if spec is None or not spec.origin:
        raise errors.UserError(
            f"{_KEY} names the module {name!r}, which Python does not find: give the "
            "path of its .py file, or set PYTHONPATH to the folder that it is in."
        )
    return os.path.realpath(spec.origin)


def _sources(name: str) -> list[str]:
    """Return the files of a module; of a package, all that are in its folder."""
    path = location(name)
    if os.path.basename(path) != "__init__.py":
        return [path]
    return sorted(
        os.path.join(folder, file)
        for folder, _, files in os.walk(os.path.dirname(path))
        for file in files
        if file.endswith(".py")
    )
