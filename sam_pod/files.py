"""Files that are on the disk when we say so."""

import os


def sync(path: str) -> None:
    """Wait until a file or a folder is on the disk, not in the system's memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
