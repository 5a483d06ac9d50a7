"""Accelerators that this machine has, by its drivers; no library is asked."""

import glob
import os
import shutil
import subprocess

_NVIDIA_SMI = ("nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
_SECONDS = 20.0
_HIDES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_GOOGLE = "0x1ae0"
# The devices of v2 and v3, v4, v5p, v5e, v6e and v7x; other Google devices are no TPUs.
_TPUS = {"0x0027", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}


def hider() -> str:
    """Return the variable by which the user hides the GPUs; '' where none does."""
    return next((n for n in _HIDES if _is_hidden_by(n)), "")


def _is_hidden_by(name: str) -> bool:
    return os.environ.get(name, "all").strip() in ("", "-1")


def gpus() -> str:
    """Return what shows that this machine has a GPU; '' when nothing does."""
    names = _listed_by_nvidia_smi()
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"nvidia-smi lists {names[0]}{more}"
    for pattern in ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*", "/dev/dxg"):
        found = glob.glob(pattern)
        if found:
            return f"An NVIDIA GPU is here ({found[0]})"
    for path in glob.glob("/sys/class/kfd/kfd/topology/nodes/*/gpu_id"):
        if _read(path) not in ("", "0"):  # 0 is a CPU.
            return f"An AMD GPU is here ({path})"
    return ""


def is_a_tpu_here() -> bool:
    """Return whether this is a TPU VM, by its devices."""
    if glob.glob("/dev/accel[0-9]*"):
        return True
    return any(
        _read(path) == _GOOGLE and _read(f"{os.path.dirname(path)}/device") in _TPUS
        for path in glob.glob("/sys/bus/pci/devices/*/vendor")
    )


def _listed_by_nvidia_smi() -> list[str]:
    program = next(filter(None, map(shutil.which, _NVIDIA_SMI)), None)
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "-L"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = (line.partition(" (UUID")[0].strip() for line in listed.splitlines())
    return [line[:80] for line in lines if line.startswith("GPU ")]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
