"""Names of classes and files that are not UTF-8, as text that every program can write.

Python returns bytes of a name that are not UTF-8 as lone surrogates, which neither
TensorFlow nor a terminal accepts.
"""

from collections.abc import Sequence

from sam_pod import errors


def readable(name: str) -> str:
    """Return a name with bytes that are no UTF-8 read as Windows-1252 or Latin-1."""
    if name.isascii():
        return name
    return "".join(map(_character, name))


def _character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        byte = bytes([code - 0xDC00])
        try:
            return byte.decode("cp1252")
        except UnicodeDecodeError:  # One of five bytes that it leaves free.
            return byte.decode("latin-1")
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return character


def of_classes(classes: Sequence[str], place: str) -> tuple[tuple[str, ...], str]:
    """Return names of classes that can be written, and a line on what was changed.

    Args:
        classes: The names as a source has them.
        place: The source's path.

    Raises:
        UserError: two of them would have one name.
    """
    found = tuple(map(readable, classes))
    if len(set(found)) < len(set(classes)):
        twice = next(name for name in found if found.count(name) > 1)
        raise errors.UserError(
            f"Two classes in {place} are both called {twice!r}, one of them in bytes "
            "that are not UTF-8: rename one."
        )
    changed = [name for name, old in zip(found, classes, strict=True) if name != old]
    if not changed:
        return found, ""
    return found, (
        f"what is not UTF-8 in the names of classes read as Latin-1 ({len(changed):,}: "
        f"{', '.join(changed)[:80]})"
    )
