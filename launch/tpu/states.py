"""What the states of a slice mean: what to do next, and what its user should know.

A slice is a node (a TPU VM of one or several hosts) and, when it was asked for in the
queue, a queued resource of the same name that creates the node and outlives it.
States: cloud.google.com/tpu/docs/reference/rest/v2/projects.locations.nodes and
projects.locations.queuedResources. Nothing here asks or changes anything.
"""

import dataclasses
import enum
from typing import Any

NONE = ""  # There is no such resource.

_QUEUE_PENDING = {"CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING"}
_QUEUE_OVER = {"FAILED", "SUSPENDING", "SUSPENDED"}
# In these a queued resource without a node can be deleted without --force.
QUEUE_DELETABLE = {"ACCEPTED", "WAITING_FOR_RESOURCES", "FAILED", "SUSPENDED"}
_NODE_COMING = {
    "STATE_UNSPECIFIED",
    "CREATING",
    "STARTING",
    "RESTARTING",
    "REPAIRING",
    "REIMAGING",
    "UNHIDING",
    "UNKNOWN",
}
_NODE_STOPPED = {"STOPPING", "STOPPED", "HIDING", "HIDDEN"}  # Somebody's wish.


@dataclasses.dataclass(frozen=True)
class Seen:
    """The states of a queued resource and of a node, NONE for what is not there."""

    queued: str = NONE
    node: str = NONE
    healthy: bool = True
    by_user: bool = False  # Whether a user, and no preemption, suspended it.

    def __str__(self) -> str:
        """Return both states, for a log."""
        node = f"node {self.node or 'none'}"
        node += "" if self.healthy else " (under maintenance)"
        return f"queued resource {self.queued}, {node}" if self.queued else node

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return bool(self.queued or self.node)

    @property
    def is_deleted(self) -> bool:
        """Whether a user is deleting it; a preemption takes the node alone."""
        if self.queued in ("SUSPENDING", "SUSPENDED"):
            return self.by_user
        return "DELETING" in (self.queued, self.node)


class Step(enum.Enum):
    """What a launcher does about a slice."""

    CREATE = "create"
    WAIT = "wait"
    USE = "use"
    REPLACE = "delete, and create again"
    REFUSE = "leave alone"
    GONE = "stop: somebody deleted it"


def next_step(seen: Seen, *, made_here: bool = False, was_ready: bool = False) -> Step:
    """Return what to do about a slice in these states.

    Args:
        seen: Both states, as just returned by the API.
        made_here: Whether this launcher asked for the slice, successfully.
        was_ready: Whether it has seen the slice READY. A preempted node does not always
            say PREEMPTED (skypilot-org/skypilot issue 1468): after READY, everything
            else is a loss.
    """
    if not seen.exists:
        # What is preempted stays until it is deleted: this was somebody's will.
        return Step.GONE if made_here or was_ready else Step.CREATE
    if seen.is_deleted and (made_here or was_ready):
        return Step.GONE  # Not by this launcher, which looks for the end of its own.
    if "DELETING" in (seen.queued, seen.node):
        return Step.REPLACE
    if seen.queued in _QUEUE_OVER:
        return Step.REPLACE
    if seen.node == "READY":
        return Step.WAIT if seen.queued in _QUEUE_PENDING else Step.USE
    if was_ready:
        return Step.REPLACE
    if seen.node == NONE or seen.node in _NODE_COMING:
        return Step.WAIT
    if seen.node in _NODE_STOPPED and not made_here:
        return Step.REFUSE
    return Step.REPLACE


def explain(seen: Seen) -> str:
    """Return one sentence on what the states mean, and one on what they cost."""
    if not seen.exists:
        return "There is nothing of this name, and nothing that costs money."
    if seen.queued in ("FAILED", "SUSPENDED") and not seen.node:
        what = (
            "The request failed"
            if seen.queued == "FAILED"
            else "The slice was preempted or deleted"
        )
        return (
            f"{what}; its queued resource is left. It costs nothing but keeps the name "
            "and counts against the quota: `up` replaces it, `down` deletes it."
        )
    if seen.queued and not seen.node and seen.queued in QUEUE_DELETABLE:
        return (
            "It waits in the queue. That costs nothing yet; it costs money from the "
            "moment it gets its node: `up` waits for it, `down` gives it up."
        )
    if "DELETING" in (seen.queued, seen.node) or seen.queued == "SUSPENDING":
        return "It is being deleted. Look again in a minute: `down` waits for the end."
    if seen.node == "READY":
        return "It is ready and costs money, used or not, until `down`."
    if seen.node in ("PREEMPTED", "TERMINATED"):
        return (
            "It was preempted. It cannot be started again and keeps the name and the "
            "quota: `up` replaces it, `down` deletes it."
        )
    if seen.node in _NODE_STOPPED:
        return "It is stopped, by somebody's wish; its disk costs money until `down`."
    return (
        "It is not ready: it is being made, or repaired. It may cost money already: "
        "`up` waits for it, `down` deletes it."
    )


def differences(node: dict[str, Any], accelerator: str, runtime: str) -> list[str]:
    """Return how an existing node differs from the one asked for.

    Args:
        node: The API's description of it, or the `node` of a queued resource's
            nodeSpec.
        accelerator: The accelerator type asked for.
        runtime: The runtime version asked for.
    """
    found = []
    for key, wanted in (("acceleratorType", accelerator), ("runtimeVersion", runtime)):
        value = str(node.get(key, "")).rpartition("/")[2]
        if value != wanted:
            found.append(f"{value or 'an unknown ' + key} instead of {wanted}")
    return found
