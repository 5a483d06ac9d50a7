"""What `--help` and `--help=GROUP` print: every key, its default, what it means."""

import textwrap
from collections.abc import Sequence

from sam_pod import errors
from sam_pod.config import rows as rows_lib

_RUN = "run"  # The group of the keys that stand in no section.
_MAY_CHANGE = "May change when a run continues"
_CHANGES = {
    rows_lib.FREE: f"{_MAY_CHANGE}.",
    rows_lib.ACCEPTED: f"{_MAY_CHANGE}, where --accept_change names it.",
    rows_lib.PLACE: f"{_MAY_CHANGE}; see --accept_change=replicas.",
}
_WIDTH = 88


def groups() -> dict[str, list[rows_lib.Row]]:
    """Return the rows of each group, which is the first part of a key's name."""
    found: dict[str, list[rows_lib.Row]] = {}
    for row in rows_lib.ROWS:
        section = row.name.partition(".")[0] if "." in row.name else _RUN
        found.setdefault(section, []).append(row)
    return found


def group(arguments: Sequence[str]) -> str:
    """Return the group whose help is asked for, such as 'sam'; '' for all."""
    for argument in arguments:
        name, mark, value = argument.partition("=")
        if mark and name in ("--help", "-help"):
            return value
    return ""


def show(introduction: str, flags_help: str, name: str) -> None:
    """Print the help of a group, or with `name` '' the flags and all groups.

    Args:
        introduction: A text that says what the command does.
        flags_help: The command's flags, as listed by absl.
        name: One of `groups`, or ''.

    Raises:
        UserError: there is no such group.
        SystemExit: with 0, after it is printed.
    """
    if name:
        print("\n".join(_lines(errors.lookup(groups(), name, "--help"))))
        raise SystemExit(0)
    print(
        f"{introduction}\n  --config: FILE[:VARIANT], such as "
        f"configs/resnet20.py:digits"
        f"{flags_help}\n\nConfig keys and their defaults, before the recipe; "
        f"--help={_RUN}, --help=sam and so on show one group:"
    )
    for section, rows in groups().items():
        print(f"\n{section}:", *_lines(rows), sep="\n")
    raise SystemExit(0)


def _lines(rows: Sequence[rows_lib.Row]) -> list[str]:
    lines = []
    for row in rows:
        lines.append(f"  --config.{row.name}={row.default!r}")
        rule = f"Must be {row.rule.words}." if row.rule.words else ""
        text = " ".join(filter(None, (row.help, rule, _CHANGES.get(row.change))))
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent="      ", subsequent_indent="      "
        )
    return lines
