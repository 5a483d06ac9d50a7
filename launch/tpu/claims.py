"""One launcher at a time for one slice, on one machine.

After a loss each of two launchers would delete what the other has just created.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator

from launch.tpu import phrases
from sam_pod import errors


@contextlib.contextmanager
def claim(place: phrases.Place) -> Iterator[None]:
    """Hold the slice against other launchers of this user on this machine.

    Raises:
        UserError: another launcher holds it.
    """
    name = f"sam_pod-{os.getuid()}-{place.project}-{place.zone}-{place.name}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(os.path.join(tempfile.gettempdir(), name), flags, 0o600)
    try:
        _take(lock, place.name)
        yield
    finally:
        os.close(lock)


def _take(lock: int, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode()
        raise errors.UserError(
            f"Another launcher (process {holder}) takes care of {name}; follow the "
            "trainer with `logs`, or end that launcher first."
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
