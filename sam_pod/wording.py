"""Numbers in sentences."""


def counted(count: int, one: str, many: str) -> str:
    """Return a number and what follows it: of 1, or of any other number."""
    return f"{count:,} {one if count == 1 else many}"
