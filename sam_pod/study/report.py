"""The report of a study: report.md, and report.html that needs no network."""

import os
import re
from collections.abc import Iterator

from sam_pod.pages.markup import Markup, tag
from sam_pod.pages.style import STYLE
from sam_pod.storage import faults, files
from sam_pod.study import curves, summary, tables

MARKDOWN, HTML, PICTURE = "report.md", "report.html", "curve.svg"
_OVER = (
    ("gradients", "gradients of a global batch", lambda point: point.gradients),
    ("seconds", "seconds of training, validation and compiling", lambda p: p.seconds),
)


def write(found: summary.Summary, folder: str) -> str:
    """Write the report into a folder; return it as Markdown.

    Raises:
        UserError: the disk is full.
    """
    text = markdown(found)
    with faults.explained(folder):
        files.write(os.path.join(folder, MARKDOWN), text)
        files.write(os.path.join(folder, HTML), page(found))
        if drawn := picture(found):
            files.write(os.path.join(folder, PICTURE), drawn)
    return text


def markdown(found: summary.Summary) -> str:
    """Return the report as Markdown."""
    parts = [f"# {found.study.title}", *_introduction(found)]
    for table in tables.of(found):
        parts += [f"## {table.title}", _markdown_table(table)]
        parts += [table.caption] if table.caption else []
    # A name such as '<none>' is no tag.
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", "\n\n".join(parts)) + "\n"


def _introduction(found: summary.Summary) -> Iterator[str]:
    study = found.study
    if study.note:
        yield study.note
    yield _budget(found)
    yield from found.notes


def _budget(found: summary.Summary) -> str:
    if found.study.budget == "epochs":
        return "Each arm trains for the epochs that its keys say."
    is_marked = any(arm.unequal is not None for arm in found.arms)
    words = "were to spend" if is_marked else "spend"
    end = " Those marked † have spent others." if is_marked else ""
    return (
        f"All arms {words} as many gradients as the one that spends most: those whose "
        f"steps cost less train for more epochs, with their schedules stretched.{end}"
    )


def _markdown_table(table: tables.Table) -> str:
    mark = "---:" if table.has_numbers else "---"
    rows = [table.head, ("---", *[mark] * (len(table.head) - 1)), *table.rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows
    )


def page(found: summary.Summary) -> str:
    """Return the report as a page of HTML."""
    title = found.study.title
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(STYLE + curves.STYLE)),
    )
    body = tag(
        "body",
        tag("h1", title),
        *(tag("p", text) for text in _introduction(found)),
        *_figures(found),
        *map(_section, tables.of(found)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _figures(found: summary.Summary) -> Iterator[Markup]:
    for key, name, x in _OVER:
        series = curves.of(found.arms, x)
        if not series:
            continue
        title = f"Validation accuracy by {name.partition(' ')[0]}"
        caption = (
            f"{title}: the mean over the seeds, and Student's 95 % interval. Of an "
            f"arm that sweeps, the chosen value.{_held_out(found)}"
        )
        drawn = curves.picture(f"curve-{key}", title, name, series)
        yield tag("figure", drawn, tag("figcaption", caption))


def _held_out(found: summary.Summary) -> str:
    configs = [arm.trial.config for arm in found.arms if arm.trial is not None]
    if any(config.data.validation != "held_out" for config in configs):
        return ""
    return (
        " Validation examples are held out of the training set, with its wrong labels "
        "where it has some."
    )


def picture(found: summary.Summary) -> str:
    """Return the curves by gradients as an SVG file; '' where there are none."""
    _, name, x = _OVER[0]
    series = curves.of(found.arms, x)
    if not series:
        return ""
    title = f"Validation accuracy: {found.study.title}"
    drawn = curves.picture("curve", title, name, series)
    style = tag("style", Markup(STYLE + curves.STYLE))
    ground = tag("rect", width="100%", height="100%", fill="var(--surface)")
    start, end = drawn.split(">", 1)
    return f'{start} xmlns="http://www.w3.org/2000/svg">{style}{ground}{end}\n'


def _section(table: tables.Table) -> Markup:
    rows = [
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
        for first, *rest in table.rows
    ]
    head = tag("thead", tag("tr", *(tag("th", c, scope="col") for c in table.head)))
    kind = {"class_": "numbers"} if table.has_numbers else {}
    content = tag("table", head, tag("tbody", *rows), **kind)
    caption = [tag("p", table.caption, class_="soft")] if table.caption else []
    scrolled = tag("div", content, class_="scroll")
    return tag("section", tag("h2", table.title), *caption, scrolled)
