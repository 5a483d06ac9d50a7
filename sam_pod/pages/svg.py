"""Pieces of a picture."""

from sam_pod.pages.markup import Markup, tag

WIDTH = 720


def picture(
    key: str, title: str, description: str, height: float, *content: str
) -> Markup:
    """Return a picture, WIDTH wide; screen readers read its title and description."""
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        *content,
        viewBox=f"0 0 {WIDTH} {px(height)}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def line(
    x1: float, y1: float, x2: float, y2: float, class_: str, **attributes: object
) -> Markup:
    """Return a straight line."""
    ends = {"x1": px(x1), "y1": px(y1), "x2": px(x2), "y2": px(y2)}
    return tag("line", **ends, class_=class_, **attributes)


def text(content: str, x: float, y: float, class_: str, **attributes: object) -> Markup:
    """Return a line of text whose base is at y."""
    return tag("text", content, x=px(x), y=px(y), class_=class_, **attributes)


def path(*corners: tuple[float, float]) -> str:
    """Return an element that draws a path through corners."""
    return "M" + " L".join(f"{px(x)} {px(y)}" for x, y in corners)


def px(value: float) -> str:
    """Return a length as short as it can be written."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
