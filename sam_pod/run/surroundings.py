"""A run's surroundings, as far as they change its numbers, kept in the workdir.

The config says what is computed. The surroundings say how: flags of the environment
that choose other kernels, the number of cores, by which oneDNN's kernels choose the
order of their sums, versions, the code of this package. None of them is refused; a run
that continues under others says so, because it may differ from an uninterrupted one.
"""

import importlib.machinery
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from absl import logging

import sam_pod
from sam_pod.process import child
from sam_pod.run import identity, result
from sam_pod.storage import faults, files

FILE = "surroundings.json"

# Flags of TensorFlow, XLA and the libraries below that choose kernels, precision or the
# order of sums.
_FLAGS = re.compile(
    r"(TF_)?XLA_FLAGS|LIBTPU_INIT_ARGS|NVIDIA_TF32_OVERRIDE"
    r"|TF_(ENABLE|DISABLE|USE|CUDNN|DETERMINISTIC|NUM|AUTO|MLIR|TENSORRT|FP16)_\w+"
    r"|(ONEDNN|DNNL|MKL|CUBLAS|CUDNN|ROCBLAS|MIOPEN|HIPBLASLT|OPENBLAS)_\w+"
)


def current(
    versions: Mapping[str, str] | None = None,
) -> dict[str, dict[str, str]]:
    """Return the surroundings of this process, by kind.

    Args:
        versions: Those of the runtime's own, beside those of every run.
    """
    return {
        "environment": {k: v for k, v in sorted(os.environ.items()) if _is_flag(k)},
        "machine": {"cores": str(len(child.cores()))},
        "versions": {
            **result.versions(),
            **(versions or {}),
            "code": identity.code_digest(),
        },
    }


def _is_flag(name: str) -> bool:
    return bool(_FLAGS.fullmatch(name))


def tell() -> None:
    """Log the environment's flags that may change the numbers of a run, in one line."""
    chosen = current()["environment"]
    if chosen:
        listing = " ".join(f"{name}={value}" for name, value in chosen.items())
        logging.info(
            "The environment sets %s: numbers may differ from those without.", listing
        )
    for other in other_copies():
        logging.warning(
            "Two copies of sam_pod are on Python's path: %s runs, %s does not.",
            os.path.dirname(sam_pod.__file__),
            other,
        )


def note(workdir: str, versions: Mapping[str, str] | None = None) -> None:
    """Keep the surroundings in the workdir; log what differs from those before.

    The file lists all surroundings of the run, in their order.

    Args:
        workdir: The folder that this process holds.
        versions: The versions of the runtime's own.
    """
    path, now = os.path.join(workdir, FILE), current(versions)
    before = _read(path)
    if before and before[-1] == now:
        return
    if before and (phrases := _differences(before[-1], now)):
        logging.warning(
            "The run continues in other surroundings (%s): its numbers may differ from "
            "those of a run that was not interrupted.",
            "; ".join(phrases),
        )
    with faults.explained(workdir):
        files.write(path, json.dumps([*before, now], indent=2) + "\n")


def _read(path: str) -> list[dict[str, Any]]:
    """Return the surroundings in a workdir; none from an older or a broken file."""
    try:
        with faults.explained(path, "read"):
            content = files.parse_json(files.read(path) or "[]")
    except (OSError, ValueError):
        return []
    is_ours = isinstance(content, list) and all(isinstance(x, dict) for x in content)
    return content if is_ours else []


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    phrases = []
    for kind, values in now.items():
        old = before.get(kind)
        if kind == "machine" and old is None:  # An older version said nothing of it.
            continue
        old = old if isinstance(old, dict) else {}
        for key in sorted({*old, *values}):
            if old.get(key) != values.get(key):
                was, now_is = (x.get(key, "not set") for x in (old, values))
                phrases.append(f"{key} was {was}, is {now_is}")
    return phrases


def other_copies() -> list[str]:
    """Return the folders of other copies of this package on Python's path."""
    here = os.path.realpath(os.path.dirname(sam_pod.__file__))
    found = []
    for entry in dict.fromkeys(map(os.path.abspath, sys.path)):
        spec = importlib.machinery.PathFinder.find_spec("sam_pod", [entry])
        if spec is not None and spec.origin:
            folder = os.path.realpath(os.path.dirname(spec.origin))
            if folder != here and folder not in found:
                found.append(folder)
    return found
