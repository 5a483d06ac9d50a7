"""When in a run a member acts, as a config says it."""

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import window


def of(start, end, num_epochs=8):
    config = config_lib.defaults()
    config.sam.start, config.sam.end, config.num_epochs = start, end, num_epochs
    return window.of(config)


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [
        ("0", "100%", (0, 80)),
        ("2", "6", (20, 60)),
        ("87.5%", "100%", (70, 80)),
        (" 25 %", "7.5", (20, 75)),
        ("0.05", "1e1", (0, 80)),
        ("0", "12", (0, 80)),
    ],
)
def test_ends_are_epochs_or_shares_of_the_run_and_within_it(start, end, steps):
    assert of(start, end).steps(10) == steps


@pytest.mark.parametrize("text", ["", "soon", "-1", "inf", "nan", "10%%", "% 10"])
@pytest.mark.parametrize("key", ["sam.start", "sam.end"])
def test_an_end_that_is_no_number_is_refused(key, text):
    ends = {"sam.start": "0", "sam.end": "100%", key: text}
    with pytest.raises(
        errors.UserError, match=f"^`{key}` is '{text}'; .* such as 20, or a share"
    ):
        of(*ends.values())


@pytest.mark.parametrize(
    ("start", "end"), [("8", "100%"), ("100%", "100%"), ("5", "5"), ("6", "2")]
)
def test_a_window_that_never_opens_is_refused(start, end):
    with pytest.raises(
        errors.UserError,
        match=f"^`sam.start` is {start} and `sam.end` {end}, of 8 epochs: .* would "
        "never act; the start must be below both, or take `sam.rho` 0",
    ):
        of(start, end)
