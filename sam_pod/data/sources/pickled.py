"""Plain values and NumPy arrays out of a pickle, which runs none of its code.

A pickle is a program. Here it may call only five functions of this file, which make
arrays of numbers from bytes; anything else that it names is refused.
"""

import io
import pickle
import re
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[<>|=]?[uif][1248]")


def load(content: bytes) -> Any:
    """Return the content of a pickle of dicts, lists, texts, numbers and arrays.

    Bytes from Python 2 stay bytes.

    Raises:
        pickle.UnpicklingError, ValueError, and others of a file that is broken: it
            holds other things.
    """
    return _plain(_Unpickler(io.BytesIO(content), encoding="bytes").load())


class _Type:
    """Stands for a data type while a pickle is read."""

    def __init__(self, name: str | bytes, *unused: object) -> None:
        text = name.decode() if isinstance(name, bytes) else name
        if not _NUMBER.fullmatch(text):
            raise pickle.UnpicklingError(f"it has an array of {text!r}, not of numbers")
        self.value, self._order = np.dtype(text), "|"

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        self.value = self.value.newbyteorder(order)


class _Array:
    """Stands for an array while a pickle is read."""

    def __init__(self, *unused: object) -> None:
        self.value = np.zeros(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, content = state
        if not isinstance(kind, _Type) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it has an array that is none")
        flat = np.frombuffer(content, kind.value)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*unused: object) -> _Array:
    return _Array()


def _from_buffer(content: bytes, kind: _Type, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", bytes(content)))
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


_ALLOWED = {
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    **{
        (f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct
        for core in ("core", "_core")
    },
    **{
        (f"numpy.{core}.numeric", "_frombuffer"): _from_buffer
        for core in ("core", "_core")
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a function that a pickle may call.

        Raises:
            UnpicklingError: it is anything else.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and only plain values are read"
            )
        return _ALLOWED[module, name]


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, _Type):
        raise pickle.UnpicklingError("it has a data type where a value must be")
    return value
