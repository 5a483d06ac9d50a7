"""Sharpness-Aware Minimization in TensorFlow 2, from a CPU to a TPU pod slice."""

import os
import sys


def _put_working_folder_last() -> None:
    """Let no file of the working folder hide a module that is installed.

    `python -m` looks in the working folder first, and so does an empty part of
    PYTHONPATH: a random.py or a keras.py there would be taken for the real one.
    """
    try:
        here = os.getcwd()
    except OSError:  # It was deleted, and hides nothing.
        return
    rest = [entry for entry in sys.path if os.path.abspath(entry) != here]
    sys.path[:] = [*rest, here]


# So it is while Python locates the module of `python -m`, and at no other time.
if sys.argv[:1] == ["-m"]:
    _put_working_folder_last()
