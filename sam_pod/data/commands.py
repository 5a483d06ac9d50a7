"""What the commands on data sets share: exit codes, and signals that end them."""

import os
import sys
import traceback
from collections.abc import Callable

from sam_pod import errors, interrupts, redaction


def run(action: Callable[[Callable[[], object]], object], advice: str) -> int:
    """Do what a command does, and return its exit code.

    Args:
        action: Takes a function to call now and then, which raises KeyboardInterrupt
            if a signal came; it is raised at any other place, too.
        advice: What to say when a signal came.
    """
    interruption = interrupts.Interruption()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A training on this machine may need all the memory of its GPU.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        action(interruption.check)
    except errors.UserError as error:
        line = " ".join(str(error).splitlines())
        print("Error:", redaction.redact(line), file=sys.stderr)
        return 1
    except errors.StorageLost as error:
        print(f"{error}. The same command continues.", file=sys.stderr)
        return interrupts.EXIT_CODE
    except (KeyboardInterrupt, Exception):
        # An extension that is interrupted while it is loaded raises errors of its own.
        if not interruption.came:
            print(redaction.redact(traceback.format_exc()), end="", file=sys.stderr)
            return 70
        print(f"Interrupted: {advice}", file=sys.stderr)
        return interrupts.EXIT_CODE
    return 0
