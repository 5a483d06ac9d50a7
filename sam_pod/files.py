"""Files that are on the disk when we say so, and held against other processes."""

import fcntl
import os
from typing import IO


def sync(path: str) -> None:
    """Wait until a file or a folder is on the disk, not in the system's memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_lock(file: int | IO) -> bool:
    """Hold an open file or folder until it is closed; False when another has it.

    The system closes it at any death of this process. Where a network file system has
    no locks, nothing is held and the answer is True.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
