"""The report as one self-contained page."""

from collections.abc import Mapping
from typing import Any


def html(found: Mapping[str, Any]) -> str:
    """Return the page of a whole report."""
    raise NotImplementedError
