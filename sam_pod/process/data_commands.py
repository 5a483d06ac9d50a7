"""What the commands on data sets share: exit codes, and signals that end them."""

import os
import traceback
from collections.abc import Callable

from sam_pod import errors, redaction
from sam_pod.process import exhaustion, proxies, signals
from sam_pod.storage import faults


def run(action: Callable[[Callable[[], object]], object], advice: str) -> int:
    """Do what a command does, and return its exit code.

    Args:
        action: Takes a function to call now and then, which raises KeyboardInterrupt
            if a signal came; it is raised at any other place, too.
        advice: What to say when a signal came.
    """
    interruption = signals.Interruption()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A training on this machine may need all the memory of its GPU.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    proxies.spare()
    try:
        action(interruption.check)
    except (KeyboardInterrupt, Exception) as error:
        # An extension that is interrupted while it is loaded raises errors of its own,
        # and so does a terminal that is closed.
        if interruption.came:
            redaction.tell(f"Interrupted: {advice}\n")
            return signals.EXIT_CODE
        if isinstance(error, errors.UserError):
            line = " ".join(str(error).splitlines())
            redaction.tell(f"Error: {line}\n")
            return 1
        if isinstance(error, faults.StorageLost):
            redaction.tell(f"{error}. The same command continues.\n")
            return signals.EXIT_CODE
        if errors.is_out_of_memory(error):
            redaction.tell(f"Error: {exhaustion.of_this_machine(error)}\n")
            return 1
        redaction.tell(traceback.format_exc())
        return 70
    return 0
