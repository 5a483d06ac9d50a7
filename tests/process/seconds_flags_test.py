"""Durations are finite numbers."""

import pytest
from absl import flags

from sam_pod.process import seconds_flags


def parsed(text):
    values = flags.FlagValues()
    seconds_flags.define("pause_seconds", 1.5, "A pause.", values, most=60.0)
    values(["command", *([f"--pause_seconds={text}"] if text else [])])
    return values.pause_seconds


def test_seconds_are_taken():
    assert [parsed(text) for text in ("", "0", "2.5", "60")] == [1.5, 0, 2.5, 60]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "61", "soon"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(flags.IllegalFlagValueError, match=f"--pause_seconds={text}"):
        parsed(text)
