"""The command `python -m sam_pod.sharpness`: its flags, before anything is computed."""

import pytest

from sam_pod import errors, sharpness


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--workdir is missing"),
        (["--workdir=x", "--iterations=0"], "iterations"),
        (["--workdir=x", "--trace_probes=1"], "trace_probes"),
        (["--workdir=x", "--exampels=3"], "exampels"),
        (["--workdir=x", "last"], "'last' is not a flag"),
    ],
)
def test_flags_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(errors.UserError, match=message):
        sharpness.parse(["sharpness", *arguments])


def test_sizes_of_groups_that_are_no_numbers_are_refused():
    with pytest.raises(errors.UserError, match="--m: 'all' is no number of examples"):
        list(sharpness._sizes(["16", "all"]))


def test_help_shows_every_flag(capsys):
    with pytest.raises(SystemExit):
        sharpness.parse(["sharpness", "--help"])
    shown = capsys.readouterr().out
    for name in ("--at", "--measures", "--examples", "--balls", "--batch_norm"):
        assert name in shown
