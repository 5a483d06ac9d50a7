"""Which TPU compiler is installed: that of the runtime which is compiled for."""

import importlib.metadata
import os
import pathlib
import re
import shlex
import sys

from sam_pod import errors

_ROOM = pathlib.Path(__file__).parent
_LOCKS = {False: _ROOM / "libtpu.lock", True: _ROOM.parent / "pjrt/libtpu.lock"}


def version(by_jax: bool = False) -> str:
    """Return the version of the TPU compiler that is installed.

    Args:
        by_jax: Whether it is for the runtime 'pjrt', whose JAX drives another one.

    Raises:
        UserError: none is, or another than the pinned one; with the line that helps.
    """
    lock = _LOCKS[by_jax]
    pinned = re.search(r"^libtpu==(\S+)", lock.read_text(), re.MULTILINE)[1]
    path = os.path.relpath(lock)
    install = (
        f"{shlex.quote(sys.executable)} -m pip install --no-deps --require-hashes "
        f"--requirement {shlex.quote(min(path, str(lock), key=len))}"
    )
    try:
        found = importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise errors.UserError(
            f"The TPU compiler is not installed; install it with: {install}"
        ) from None
    if found != pinned:
        raise errors.UserError(
            f"libtpu {found} is installed, and this needs libtpu {pinned}: {install}"
        )
    return found
