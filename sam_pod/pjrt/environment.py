"""The environment that the runtime needs: another one than the main lock makes."""

import importlib.metadata

from sam_pod import errors

LOCK = "requirements-pjrt.lock"
# Where `jax.shard_map` and `jax.Array.is_ready` are, and the numbers of CPU devices.
_NEEDED = {"jax": (0, 10), "tensorflow": (2, 21)}
# TensorFlow without GPUs is a package of another name.
_PACKAGES = {"jax": ("jax",), "tensorflow": ("tensorflow-cpu", "tensorflow")}


def problem() -> str:
    """Return what is missing in this environment, in one line; '' if nothing is."""
    found = {name: _version(name) for name in _NEEDED}
    if all(_numbers(found[name]) >= low for name, low in _NEEDED.items()):
        return ""
    needed, here = (
        " and ".join(f"{name} {version}" for name, version in each.items())
        for each in ({n: ".".join(map(str, v)) for n, v in _NEEDED.items()}, found)
    )
    return (
        f"`runtime.strategy` is 'pjrt', which needs {needed} or newer, and this "
        f"environment has {here}: bash launch/local.sh --runtime=pjrt makes one from "
        f"{LOCK}, and trains there."
    )


def check() -> None:
    """Refuse an environment in which JAX cannot run the steps; nothing is imported.

    Raises:
        UserError: with the lock that makes the right one.
    """
    if found := problem():
        raise errors.UserError(found)


def _version(name: str) -> str:
    for package in _PACKAGES[name]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
