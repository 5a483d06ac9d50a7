"""Elements of HTML and SVG, escaped as they are built."""

import html
import re

# What XML forbids even as a reference, and HTML reads as something else.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VOID = frozenset({"img", "meta"})


class Markup(str):
    """Text that is markup already, and not escaped again."""


def escape(text: str) -> Markup:
    """Return text as markup, in ASCII whatever encoding it is written with."""
    escaped = html.escape(_FORBIDDEN.sub("\ufffd", text))
    return Markup(escaped.encode("ascii", "xmlcharrefreplace").decode())


def tag(name: str, /, *content: str, **attributes: object) -> Markup:
    """Return an element that is well-formed as HTML and as XML.

    Args:
        name: The element's name.
        *content: Markup, or text to escape.
        **attributes: 'data_part' is written data-part, and 'class_' class.
    """
    start = name + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{start}/>")
    inside = "".join(c if isinstance(c, Markup) else escape(c) for c in content)
    return Markup(f"<{start}>{inside}</{name}>")
