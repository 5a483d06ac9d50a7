"""The environment that the runtime needs: another one than the main lock makes."""

import importlib.metadata
import importlib.util
import os

import ml_collections

from sam_pod import errors
from sam_pod.machines import cluster

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


def is_alone(config: ml_collections.ConfigDict) -> bool:
    """Return whether this process is known to be all of the run; nobody is asked.

    A machine with libtpu may be a host of a slice.
    """
    if len(cluster.read().addresses) > 1:
        return False
    platforms = os.environ.get("JAX_PLATFORMS") or "tpu"
    by_tpu = config.runtime.cpu_replicas == 1 and "tpu" in platforms
    return not by_tpu or importlib.util.find_spec("libtpu") is None


def _version(name: str) -> str:
    for package in _PACKAGES[name]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
