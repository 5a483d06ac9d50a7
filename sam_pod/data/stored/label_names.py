"""What others call their labels, and which bytes are the name of a class."""

from collections.abc import Collection

LABEL = "label"  # The name that needs no flag.
_TENSORFLOW = "image/class/label"  # Of the tools for ImageNet; what lies beside it too.
_USUAL = ("class", "labels", "target", "class_id", "category")


def usual(names: Collection[str], image: str) -> list[str]:
    """Return which of some names are usual ones of labels: several are one too many.

    'y' is one where no 'x' beside it makes it a place, unless that is the image.

    Args:
        names: The names of the features or columns.
        image: The name of the image, which is no label.
    """
    there = [name for name in names if name != image]
    if _TENSORFLOW in there:
        return [_TENSORFLOW]
    found = [name for name in there if name in _USUAL]
    if not found and "y" in there and "x" not in there:
        found = ["y"]
    return found


def is_text(content: bytes) -> bool:
    """Return whether bytes are a text that can name a class, and nothing packed."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable()
