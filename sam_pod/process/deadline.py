"""A deadline that holds while a C++ call keeps Python's lock.

TensorFlow connects several workers inside such a call and may wait there for ever. No
Python thread can run meanwhile, the watchdog's included, but a timer of the kernel can:
it raises the real-time signal 42, whose handler is the C library's own `_exit`. A
handler is called with the number of its signal, so the process ends with 42.
"""

import contextlib
import ctypes
import faulthandler
from collections.abc import Iterator

from sam_pod.process import signals

_CLOCK_MONOTONIC, _SIGEV_SIGNAL = 1, 0
# Time to write the stacks before the process ends.
_DUMP_SECONDS = 1


class _Event(ctypes.Structure):
    """`struct sigevent` of Linux, 64 bytes."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    ]


class _Times(ctypes.Structure):
    """`struct itimerspec`: an interval of zero, and when to fire."""

    _fields_ = [
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    ]


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Exit with 42 unless the context ends in time; Linux only, else unlimited.

    All stacks are written to stderr first. Unlike the watchdog's, this clock runs on
    while the process is stopped.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "timer_create"):
        yield
        return
    library.signal(signals.EXIT_CODE, ctypes.cast(library._exit, ctypes.c_void_p))
    timer = ctypes.c_void_p()
    event = _Event(signal=signals.EXIT_CODE, notify=_SIGEV_SIGNAL)
    library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer))
    times = _Times(seconds=int(seconds) + 1 + _DUMP_SECONDS)
    library.timer_settime(timer, 0, ctypes.byref(times), None)
    faulthandler.dump_traceback_later(int(seconds) + 1)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        library.timer_delete(timer)
