"""TensorFlow, imported without what a run does not need of it."""

import contextlib
import gc
import sys
from collections.abc import Iterator

# Brought by TensorFlow Lite, which converts JAX's functions, and by Keras' wrappers for
# scikit-learn; both do without. They are nearly a third of the time of the import.
_NOT_NEEDED = ("jax", "sklearn")


def tensorflow() -> None:
    """Import TensorFlow and Keras, and neither JAX nor scikit-learn with them.

    Code that needs these later imports them as usual. Commands call this before
    anything else imports TensorFlow, while there is one thread.
    """
    with _without_what_is_not_needed():
        import keras  # noqa: F401
        import tensorflow as tf  # noqa: F401


def tensorflow_alone() -> None:
    """Import TensorFlow in the same way, where any Keras will do, or none."""
    with _without_what_is_not_needed():
        import tensorflow as tf  # noqa: F401


@contextlib.contextmanager
def _without_what_is_not_needed() -> Iterator[None]:
    absent = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # None says that there is no such module.
    # What is imported stays: garbage collection looks through it, a tenth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for name in absent:
            del sys.modules[name]
