"""The report as one self-contained page: no script, nothing to fetch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sam_pod.pages.markup import Markup, tag
from sam_pod.pages.style import STYLE
from sam_pod.preflight import pictures, rows

_ESSENTIALS = (
    ("model", "model.name"),
    ("dtype", "dtype"),
    ("sync", "sam.sync"),
    ("rho", "sam.rho"),
    ("batch, global", "global_batch_size"),
)
_NONE = "No program has figures."
# A check: (program, what is checked, detail, whether it passed).
_Check = tuple[str, str, str, bool]


def html(found: Mapping[str, Any]) -> str:
    """Return the page of a whole report, in ASCII.

    Args:
        found: The report that job writes as JSON.
    """
    name = f"Preflight of {found['config'].get('model.name', 'a model')}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", name),
        tag("style", Markup(STYLE)),
    )
    topologies = found["topologies"]
    execution = found.get("execution")
    body = tag(
        "body",
        tag("h1", name),
        _essentials(found),
        _overview(topologies, execution),
        *(_topology(one, f"slice-{i}") for i, one in enumerate(topologies)),
        *([_execution(execution)] if execution else []),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _essentials(found: Mapping[str, Any]) -> Markup:
    values = {word: found["config"].get(key, "-") for word, key in _ESSENTIALS}
    values["libtpu"] = found["libtpu"] or "-"
    values["runtime"] = found.get("runtime", "-")
    pairs = (
        tag("div", tag("dt", word), tag("dd", str(value)))
        for word, value in values.items()
    )
    return tag("dl", *pairs)


def _overview(
    topologies: Sequence[Mapping[str, Any]], execution: Mapping[str, Any] | None
) -> Markup:
    """Return the verdict of each section, if there are several, linked to it."""
    sections = {
        f"slice-{i}": (rows.title(one), _checks_of(one))
        for i, one in enumerate(topologies)
    }
    if execution:
        sections["execution"] = ("Execution", list(_executed(execution)))
    if len(sections) < 2:
        return Markup()
    lines = (
        tag(
            "tr",
            _mark(all(check[-1] for check in checks)),
            tag("td", tag("a", title, href=f"#{key}")),
            tag("td", _count(checks)),
        )
        for key, (title, checks) in sections.items()
    )
    return tag("nav", tag("table", tag("tbody", *lines)), aria_label="Verdicts")


def _topology(report: Mapping[str, Any], key: str) -> Markup:
    checks = _checks_of(report)
    content = [
        tag("h2", rows.title(report)),
        tag("p", rows.extent(report), class_="soft"),
        _verdict(checks),
        *_errors(report["programs"]),
    ]
    if "largest_batch" in report:
        found = rows.largest_batch(report["largest_batch"])
        content.append(tag("p", found[0].upper() + found[1:] + "."))
    if price := rows.micro_batches(report):
        content.append(tag("p", f"{price}."))
    content += [tag("p", line) for line in rows.unreadable(report["programs"])]
    content += [
        tag("h3", "Figures"),
        _figures(report["programs"]),
        tag("h3", "Roofline"),
        _roofline(report, f"{key}-roofline"),
        tag("h3", "Memory"),
        *_memory(report, f"{key}-memory"),
        tag("h3", "Collectives"),
        _collectives(report["programs"]),
        tag("h3", "Checks"),
        _check_table(checks),
    ]
    return tag("section", *content, id=key)


def _checks_of(report: Mapping[str, Any]) -> list[_Check]:
    return [
        (check["program"], check["check"], check["detail"], check["is_passed"])
        for check in report["checks"]
    ]


def _count(checks: Sequence[_Check]) -> str:
    failed = sum(not check[-1] for check in checks)
    if failed:
        return f"{failed} of {len(checks)} checks FAIL"
    return f"all {len(checks)} checks pass"


def _verdict(checks: Sequence[_Check]) -> Markup:
    failed = [
        tag("li", f"{program}: {name}" + (f" ({detail})" if detail else ""))
        for program, name, detail, is_passed in checks
        if not is_passed
    ]
    sign, word = ("✗", "FAIL") if failed else ("✓", "pass")
    text = _count(checks)
    return tag(
        "div",
        f"{sign} {text[0].upper()}{text[1:]}",
        *([tag("ul", *failed)] if failed else []),
        class_=f"verdict {word}",
    )


def _errors(programs: Mapping[str, Any]) -> Iterator[Markup]:
    for name, program in programs.items():
        if "error" in program:
            text = f" has no figures: {program['error']}"
            yield tag("p", tag("strong", name), text, class_="reason")


def _figures(programs: Mapping[str, Any]) -> Markup:
    head, *lines = rows.figures(programs)
    # Without a comparison the last column is empty.
    width = len(head) if head[-1] else len(head) - 1
    body = (
        _row(line[:width], "part" if line[0].startswith(" ") else "") for line in lines
    )
    return _table("", head[:width], body, "numbers")


def _roofline(report: Mapping[str, Any], key: str) -> Markup:
    caption = (
        "The line is what the chip allows: the slope is its memory, the roof its "
        "matrix units. Each point is a program at its estimated speed, exchange "
        "included. Bytes are those of all operands, by the compiler's count."
    )
    return tag("figure", pictures.roofline(report, key), tag("figcaption", caption))


def _memory(report: Mapping[str, Any], key: str) -> Iterator[Markup]:
    programs = {n: p for n, p in report["programs"].items() if "memory" in p}
    if not programs:
        yield tag("p", _NONE)
        return
    yield tag("figure", pictures.memory(report, key))
    held = {
        part: (word, [program["memory"][part] for program in programs.values()])
        for part, word in rows.PARTS
    }
    hbm = report["hbm_bytes"]
    free = [max(hbm - program["memory_bytes"], 0) for program in programs.values()]
    held["free"] = ("free", free)
    body = (
        _row((word, *(rows.cell(size, 2**20) for size in sizes)), "", _swatch(part))
        for part, (word, sizes) in held.items()
    )
    yield _table("MiB of one replica's memory.", ("part", *programs), body, "numbers")


def _swatch(part: str) -> Markup:
    side = {"x": 0.5, "y": 0.5, "width": 9, "height": 9}
    square = tag("rect", **side, class_=pictures.part_class(part))
    return tag("svg", square, viewBox="0 0 10 10", class_="swatch", aria_hidden="true")


def _collectives(programs: Mapping[str, Any]) -> Markup:
    head, *lines = rows.collectives(programs)
    if all("error" in program for program in programs.values()):
        return tag("p", _NONE)
    if not lines:
        return tag("p", "Nothing is exchanged.")
    caption = "What replicas exchange, after the compiler's fusion."
    return _table(caption, ("program", *head[1:]), map(_row, lines))


def _check_table(checks: Iterable[_Check]) -> Markup:
    body = (
        tag(
            "tr",
            _mark(is_passed),
            tag("td", program),
            tag("td", name),
            tag("td", detail),
            class_="" if is_passed else "FAIL",
        )
        for program, name, detail, is_passed in checks
    )
    return _table("", ("result", "program", "check", "detail"), body, "checks")


def _execution(execution: Mapping[str, Any]) -> Markup:
    checks = list(_executed(execution))
    text = (
        f"The lowered step ran {execution['steps']} step(s) on {execution['replicas']} "
        "virtual devices, against the whole batch on one."
    )
    return tag(
        "section",
        tag("h2", "Execution"),
        tag("p", text, class_="soft"),
        _verdict(checks),
        _check_table(checks),
        id="execution",
    )


def _executed(execution: Mapping[str, Any]) -> Iterator[_Check]:
    for name, difference in execution["differences"].items():
        bound = execution["bounds"][name]
        detail = f"differs by {difference:.2e} of its norm (at most {bound:.2e})"
        yield ("executed", name, detail, difference <= bound)
    is_equal = execution["are_replicas_equal"]
    yield ("executed", "replicas are equal to the last bit", "", is_equal)


def _word(is_passed: bool) -> str:
    return "pass" if is_passed else "FAIL"


def _mark(is_passed: bool) -> Markup:
    """Return a cell with a sign, a word and a color for a verdict."""
    word = _word(is_passed)
    return tag("td", f"{'✓' if is_passed else '✗'} {word}", class_=f"mark {word}")


def _row(cells: Sequence[str], class_: str = "", before: str = "") -> Markup:
    first, *others = cells
    head = tag("th", before or Markup(), first.strip(), scope="row")
    return tag("tr", head, *(tag("td", cell) for cell in others), class_=class_)


def _table(
    caption: str, head: Sequence[str], body: Iterable[Markup], class_: str = ""
) -> Markup:
    columns = (tag("th", cell, scope="col") for cell in head)
    content = [tag("thead", tag("tr", *columns)), tag("tbody", *body)]
    if caption:
        content.insert(0, tag("caption", caption))
    return tag("div", tag("table", *content, class_=class_), class_="scroll")
