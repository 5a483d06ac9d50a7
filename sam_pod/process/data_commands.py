"""What the commands on data sets share: they take no GPU, and end at a signal."""

import os
from collections.abc import Callable

from sam_pod.process import command, proxies


def run(action: Callable[[Callable[[], None]], object], advice: str) -> int:
    """Do what a command does and return its exit code, like `command.run_at_once`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A training on this machine may need all the memory of its GPU.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    proxies.spare()
    return command.run_at_once(action, advice)
