"""Numbers and names in sentences."""

from collections.abc import Sequence


def counted(count: int, one: str, many: str) -> str:
    """Return a number and what follows it: of 1, or of any other number."""
    return f"{count:,} {one if count == 1 else many}"


def some(names: Sequence[str]) -> str:
    """Return the first five names; … stands for the others."""
    shown = ", ".join(names[:5])
    return f"{shown}, …" if len(names) > 5 else shown
