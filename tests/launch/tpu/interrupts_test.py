"""Launchers that are interrupted at each of their gcloud calls."""

import signal

import pytest

from launch.tpu import __main__ as tpu
from sam_pod.process import signals
from tests.launch import stand_in
from tests.launch.stand_in import SLICE, TRAIN

WORDS = ("get-value", "describe", "create", "scp", "ssh", "delete")
# The calls of an `up` of one attempt, as a test below says: a line for each part.
CALLS = [
    *("get-value", "describe", "describe"),
    *("create", *["describe"] * 6),
    *("ssh", "scp", "ssh", "ssh", "ssh"),
    *("describe", "describe", "delete", *["describe"] * 6),
    *("delete", "describe", "describe"),
]
FOLLOW = 15  # Once that has reported the end, its own end comes from the launcher.
CHANGES = {
    call
    for call, verb in enumerate(CALLS, 1)
    if verb in ("create", "scp", "ssh", "delete") and call != FOLLOW
}


def differs(call):
    """Return whether before it there is another state than after the call before.

    Of those that ask again and again until something is there, the last is taken.
    """
    asks = CALLS[call - 1] == "describe" == CALLS[min(call, len(CALLS) - 1)]
    return call - 1 not in CHANGES and (not asks or call == len(CALLS))


MOMENTS = [(n, "before") for n in range(2, len(CALLS) + 1) if differs(n)]
MOMENTS += [(call, "after") for call in sorted(CHANGES)]
OFTEN = {(4, "after")}  # The creation, whose answer is lost.


@pytest.fixture
def cloud(tmp_path):
    yield from stand_in.clouds(tmp_path)


def test_the_calls_are_so_many(cloud):
    slices = cloud()
    assert slices.launch("up", *SLICE, "--queued", "--down_when_done", *TRAIN)[0] == 0
    verbs = [next(w for w in call if w in WORDS) for call in slices.calls]
    assert verbs == CALLS
    assert " follow " in slices.calls[FOLLOW - 1][-1]


def test_what_nohup_ignores_stays_ignored(capsys):
    before = {number: signal.getsignal(number) for number in signals.stops()}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert tpu.main(["tpu", "nothing"]) == 1
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGUSR1) == tpu._interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "is not a command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "moment"),
    [
        pytest.param(*at, marks=() if at in OFTEN else pytest.mark.slow)
        for at in MOMENTS
    ],
)
def test_an_interrupted_launcher_leaves_what_status_explains_and_down_deletes(
    cloud, call, moment
):
    slices = cloud(interrupt=[call, moment], acts=["0"])
    up = ["up", *SLICE, "--queued", "--down_when_done", *TRAIN]
    code, stdout, stderr = slices.launch(*up)
    assert (code, stderr) == (42, "")
    assert "Interrupted;" in stdout
    left = bool(slices.state["node"] or slices.state["queued"])
    if left:
        assert "Delete all of it:  python -m launch.tpu down --name=pod" in stdout
    slices.script["interrupt"] = None
    slices.write_script()
    code, stdout, _ = slices.launch("status")
    assert code == 0
    assert ("There is nothing of this name" in stdout) == (not left)
    if call % 2:  # Whoever continues gets the same end as whoever gives up.
        assert slices.launch(*up)[0] == 0
    else:
        assert slices.launch("down")[0] == 0
    assert (slices.state["node"], slices.state["queued"]) == (None, None)
