"""TensorFlow, imported without what a run does not need, with the faster kernels."""

import os
import pathlib
import platform
import sys

# Brought by TensorFlow Lite, which converts JAX's functions, and by Keras' wrappers for
# scikit-learn; both do without. They are nearly a third of the time of the import.
_NOT_NEEDED = ("jax", "sklearn")
# TensorFlow takes oneDNN's kernels by itself only on processors with AVX-512 VNNI or
# newer. With AVX2 alone a SAM step of ResNet20 takes 0.63 of the time with them, of a
# WRN-16-4 0.77, of a ViT-Ti/16 0.63 (float32; bfloat16 0.97): docs/benchmarks.md.
_KERNELS = "TF_ENABLE_ONEDNN_OPTS"


def tensorflow() -> None:
    """Import TensorFlow and Keras, and neither JAX nor scikit-learn with them.

    Code that needs these later imports them as usual. Commands call this before
    anything else imports TensorFlow, while there is one thread. What the environment
    says of oneDNN's kernels holds; where it says nothing, they are used with AVX2.
    """
    absent = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # None says that there is no such module.
    chooses = _KERNELS not in os.environ and _has_avx2()
    if chooses:
        os.environ[_KERNELS] = "1"
    try:
        import keras  # noqa: F401
        import tensorflow as tf  # noqa: F401
    finally:
        if chooses:  # It is read by the import, and no choice of the user's.
            del os.environ[_KERNELS]
        for name in absent:
            del sys.modules[name]


def _has_avx2() -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        described = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # Not Linux, whose TensorFlow has no such kernels.
        return False
    return " avx2 " in described
