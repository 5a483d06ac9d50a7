"""Who executes the steps where the config leaves it: JAX, where TensorFlow cannot."""

import importlib.metadata
import importlib.util
import os
from typing import NamedTuple

import ml_collections
from absl import logging

from sam_pod.machines import cluster, drivers
from sam_pod.pjrt import environment

# A module that is there where JAX can drive an accelerator of the kind.
_PLUGINS = {
    "TPU": ("libtpu",),
    "NVIDIA GPU": ("jax_cuda12_plugin", "jax_cuda13_plugin"),
}


class Seen(NamedTuple):
    """Kinds of accelerators: that there are, and that each library can drive."""

    there: frozenset[str]
    jax: frozenset[str]
    tensorflow: frozenset[str]


def only_jaxs(seen: Seen) -> str:
    """Return the kind that JAX can drive here and TensorFlow cannot; '' for none."""
    if seen.there & seen.tensorflow:
        return ""
    return min(seen.there & seen.jax, default="")


def by_jax(config: ml_collections.ConfigDict, tpu_address: str) -> bool:
    """Return whether JAX executes the steps; say so where the config leaves it open.

    Neither TensorFlow nor JAX is imported: the drivers and what is installed decide.

    Args:
        config: The config of the run.
        tpu_address: A TPU that TensorFlow is to contact.
    """
    asked = config.runtime
    if asked.strategy != "auto":
        return asked.strategy == "pjrt"
    is_open = not tpu_address and asked.cpu_replicas == 1
    if not is_open or environment.problem() or len(cluster.read().addresses) > 1:
        return False
    kind = only_jaxs(see())
    if kind:
        logging.info(
            "`runtime.strategy` 'auto' is 'pjrt': JAX %s can drive the %s of this "
            "machine, and TensorFlow cannot.",
            importlib.metadata.version("jax"),
            kind,
        )
    return bool(kind)


def see() -> Seen:
    """Return what there is; the drivers are asked only for what JAX could drive."""
    drivable = {kind for kind in _PLUGINS if _can_drive(kind)}
    there = set()
    if "TPU" in drivable and drivers.is_a_tpu_here():
        there.add("TPU")
    if "NVIDIA GPU" in drivable and not drivers.hider() and _has_nvidia_gpu():
        there.add("NVIDIA GPU")
    # Without an address TensorFlow takes no TPU.
    theirs = set() if _is_for_cpus() else {"NVIDIA GPU"}
    return Seen(frozenset(there), frozenset(drivable), frozenset(theirs))


def tell_unused() -> None:
    """Say loudly which accelerator JAX leaves alone, where it is on the CPU."""
    if os.environ.get("JAX_PLATFORMS"):  # Who sets it has chosen.
        return
    found = "" if drivers.hider() else drivers.gpus()
    runtime = "pjrt-cuda"
    if drivers.is_a_tpu_here():
        found, runtime = "This machine has a TPU", "pjrt-tpu"
    if found:
        logging.warning(
            "THIS RUN IS ON THE CPU. %s, and JAX %s drives none: bash launch/local.sh "
            "--runtime=%s installs what it needs; JAX_PLATFORMS=cpu says that the CPU "
            "is meant.",
            found,
            importlib.metadata.version("jax"),
            runtime,
        )


def _can_drive(kind: str) -> bool:
    platforms = {"TPU": {"tpu"}, "NVIDIA GPU": {"cuda", "gpu"}}[kind]
    asked = os.environ.get("JAX_PLATFORMS", "").lower().split(",")
    if asked != [""] and not platforms & {name.strip() for name in asked}:
        return False
    return any(importlib.util.find_spec(name) for name in _PLUGINS[kind])


def _has_nvidia_gpu() -> bool:
    found = drivers.gpus()
    return bool(found) and not found.startswith("An AMD")


def _is_for_cpus() -> bool:
    """Return whether this TensorFlow is the one without GPUs, as in the lock."""
    try:
        importlib.metadata.version("tensorflow-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
