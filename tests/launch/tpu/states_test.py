"""Every pair of states, against a table written from the API's documentation."""

import itertools

import pytest

from launch.tpu import states
from launch.tpu.states import Seen, Step

QUEUED = (
    *("", "STATE_UNSPECIFIED", "CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES"),
    *("PROVISIONING", "ACTIVE", "FAILED", "SUSPENDING", "SUSPENDED", "DELETING"),
)
NODES = (
    *("", "STATE_UNSPECIFIED", "CREATING", "READY", "RESTARTING", "REIMAGING"),
    *("DELETING", "REPAIRING", "STOPPED", "STOPPING", "STARTING", "PREEMPTED"),
    *("TERMINATED", "HIDING", "HIDDEN", "UNHIDING", "UNKNOWN"),
)
PAIRS = list(itertools.product(QUEUED, NODES))


@pytest.mark.parametrize(
    ("queued", "node", "first", "made", "ready"),
    [
        ("", "", Step.CREATE, Step.GONE, Step.GONE),
        ("CREATING", "", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("ACCEPTED", "", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("WAITING_FOR_RESOURCES", "", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("PROVISIONING", "", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("PROVISIONING", "CREATING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("PROVISIONING", "READY", Step.WAIT, Step.WAIT, Step.WAIT),
        ("ACTIVE", "", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("ACTIVE", "READY", Step.USE, Step.USE, Step.USE),
        ("ACTIVE", "PREEMPTED", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("SUSPENDING", "READY", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("SUSPENDED", "", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("FAILED", "", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("DELETING", "", Step.REPLACE, Step.GONE, Step.GONE),
        ("", "CREATING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "STARTING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "RESTARTING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "REIMAGING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "REPAIRING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "UNHIDING", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "UNKNOWN", Step.WAIT, Step.WAIT, Step.REPLACE),
        ("", "READY", Step.USE, Step.USE, Step.USE),
        ("", "PREEMPTED", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("", "TERMINATED", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("", "DELETING", Step.REPLACE, Step.GONE, Step.GONE),
        ("ACTIVE", "DELETING", Step.REPLACE, Step.GONE, Step.GONE),
        ("SUSPENDING", "DELETING", Step.REPLACE, Step.REPLACE, Step.REPLACE),
        ("", "STOPPED", Step.REFUSE, Step.REPLACE, Step.REPLACE),
        ("", "STOPPING", Step.REFUSE, Step.REPLACE, Step.REPLACE),
        ("", "HIDDEN", Step.REFUSE, Step.REPLACE, Step.REPLACE),
        ("", "HIDING", Step.REFUSE, Step.REPLACE, Step.REPLACE),
    ],
)
def test_what_is_done(queued, node, first, made, ready):
    seen = Seen(queued, node)
    assert states.next_step(seen) is first
    assert states.next_step(seen, made_here=True) is made
    assert states.next_step(seen, was_ready=True) is ready


def test_nothing_is_created_beside_anything():
    switches = itertools.product((False, True), repeat=2)
    for (queued, node), (made_here, was_ready) in itertools.product(PAIRS, switches):
        seen = Seen(queued, node)
        step = states.next_step(seen, made_here=made_here, was_ready=was_ready)
        if queued or node:
            assert step is not Step.CREATE
        if step is Step.GONE and seen.exists:
            assert "DELETING" in (queued, node) and (made_here or was_ready)
        # What was READY is used only as long as it is.
        if step is Step.USE:
            assert node == "READY"
        if was_ready and node != "READY":
            assert step in (Step.REPLACE, Step.GONE)


def test_every_state_is_explained_with_its_cost_and_a_way_out():
    for queued, node in PAIRS:
        text = states.explain(Seen(queued, node))
        assert "cost" in text or "quota" in text or "being deleted" in text
        assert "down" in text or not (queued or node)
        if node == "READY" and queued in ("", "ACTIVE"):
            assert text.startswith("It is ready and costs money")
        if node == "PREEMPTED" and queued in ("", "ACTIVE", "SUSPENDED"):
            assert text.startswith("It was preempted.")


@pytest.mark.parametrize("queued", ["SUSPENDING", "SUSPENDED"])
@pytest.mark.parametrize("node", ["", "DELETING", "READY"])
def test_what_a_user_deletes_is_not_made_again(queued, node):
    seen = Seen(queued, node, by_user=True)
    assert states.next_step(seen) is Step.REPLACE
    assert states.next_step(seen, made_here=True) is Step.GONE
    assert states.next_step(seen, was_ready=True) is Step.GONE


def test_a_log_says_both_states():
    assert str(Seen()) == "node none"
    assert str(Seen("", "READY", healthy=False)) == "node READY (under maintenance)"
    assert str(Seen("ACTIVE", "")) == "queued resource ACTIVE, node none"


def test_another_slice_is_told_from_ours():
    node = {
        "acceleratorType": "projects/p/locations/z/acceleratorTypes/v4-32",
        "runtimeVersion": "r",
    }
    assert states.differences(node, "v4-32", "r") == []
    assert states.differences(node, "v4-8", "s") == [
        "v4-32 instead of v4-8",
        "r instead of s",
    ]
    # What says nothing is not ours: it would be deleted otherwise.
    assert len(states.differences({}, "v4-8", "s")) == 2
