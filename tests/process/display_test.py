"""Progress: one line that changes on a terminal, few lines elsewhere."""

import io
import sys
import types

import pytest

from sam_pod.process import display


class Screen(io.StringIO):
    """What a terminal shows: a carriage return goes back to the line's beginning."""

    def isatty(self):
        return True

    @property
    def lines(self):
        shown = []
        for line in self.getvalue().split("\n"):
            cells = ""
            for part in line.split("\r"):
                cells = part + cells[len(part) :]
            shown.append(cells.rstrip())
        return shown


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(display, "time", clock)
    return now


def test_on_a_terminal_a_line_gives_way_to_the_next(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    show = display.Display()
    show("Compiling a and something long: 1 s ...")
    show("Compiling b: 2 s ...")
    assert screen.lines == ["Compiling b: 2 s ..."]
    show("a: 3 s")
    show("Compiling b: 4 s ...")
    assert screen.lines == ["a: 3 s", "Compiling b: 4 s ..."]
    show("b: 5 s")
    assert screen.lines == ["a: 3 s", "b: 5 s", ""]


def test_what_is_printed_after_it_begins_a_line(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    show = display.Display()
    show("Compiling something long: 1 s ...")
    show.clear()
    print("Error: x", file=screen)
    assert screen.lines == ["Error: x", ""]
    show.clear()
    assert screen.lines == ["Error: x", ""]


def test_a_line_is_cut_to_the_width_of_the_terminal(monkeypatch):
    """A longer one would wrap, and each change of it would add a line."""
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    show = display.Display()
    show("Compiling " + "x" * 100 + " ...")
    assert max(map(len, screen.lines)) < 20
    show("done " + "y" * 100)
    assert screen.lines == ["done " + "y" * 100, ""]


def test_elsewhere_it_is_said_now_and_then(monkeypatch, clock):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    show = display.Display()
    for second in range(0, 70):
        clock[0] = 100.0 + second
        show(f"Compiling: {second} s ...")
    show("Compiled.")
    assert log.getvalue().splitlines() == [
        "Compiling: 30 s ...",
        "Compiling: 60 s ...",
        "Compiled.",
    ]
    show.clear()
    assert log.getvalue().endswith("Compiled.\n")
