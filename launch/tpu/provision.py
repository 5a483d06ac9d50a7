"""Bring a slice to READY, or to nothing, whatever state it is in.

The name is the slice's identity: a second one of that name cannot exist, and none is
asked for before both the node and the queued resource are known not to be there.
"""

import contextlib
import dataclasses
import time
from typing import Any

from launch.tpu import gcloud, phrases, states
from sam_pod import errors

_MOST_FAILURES = 20  # In a row, of asking for the state or of deleting.
# The API may take a moment to show what it has just accepted.
_LOOKS_FOR_NEW = 5


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts of a slice that is READY."""

    addresses: tuple[str, ...]  # In the order of the workers.
    accelerator_type: str
    runtime_version: str


class SliceGone(Exception):
    """Somebody deleted the slice and does not want it created again."""


class CreationFailed(Exception):
    """The slice could not be created this time."""


@dataclasses.dataclass
class Slice:
    """A slice by name, and what this launcher has done about it."""

    place: phrases.Place
    poll_seconds: float = 20.0
    touched: bool = False  # Whether there is, or may be, something.
    made_here: bool = False  # Whether this launcher created one.
    ours: bool = False  # Whether it is, or was, what this launcher asks for.

    def look(self) -> tuple[states.Seen, dict[str, Any], dict[str, Any]]:
        """Return the states, and the descriptions of queued resource and node.

        Raises:
            UserError: asking is not allowed.
            GcloudError: asking failed too often.
        """
        queued = self._ask(phrases.describe_queued(self.place), "queuedResources")
        node = self._ask(phrases.describe_node(self.place), "nodes")
        seen = states.Seen(
            queued.get("state", {}).get("state", "STATE_UNSPECIFIED") if queued else "",
            node.get("state", "STATE_UNSPECIFIED") if node else "",
            node.get("health", "") != "UNHEALTHY_MAINTENANCE",
            queued.get("state", {}).get("stateInitiator", "") == "USER",
        )
        self.touched = self.touched or seen.exists
        return seen, queued, node

    def bring_up(self, request: phrases.SliceRequest, *, known: bool = False) -> Hosts:
        """Return the slice when it is READY; create it where it is not there.

        Args:
            request: The slice that is asked for.
            known: Whether it was there, as requested, at the last look. If it is not
                there now, somebody deleted it.

        Raises:
            UserError: the name is another slice's, or the request is refused.
            SliceGone: it was deleted while it came up.
            CreationFailed: no capacity, or it was lost while it came up.
        """
        made_here, looks, shown = known, 0, ""
        while True:
            seen, queued, node = self.look()
            step = states.next_step(seen, made_here=made_here)
            if seen.exists and not made_here:
                self._check_ours(request, queued, node)
            if str(seen) != shown and seen.exists:
                shown = str(seen)
                say(f"{self.place.name}: {shown}")
            if step is states.Step.USE:
                return _hosts(node)
            if step is states.Step.CREATE:
                made_here = self._create(request)
                continue
            looks = 0 if seen.exists else looks + 1
            is_sure = seen.exists or looks > _LOOKS_FOR_NEW
            if step is states.Step.GONE and is_sure:
                raise SliceGone
            if step is states.Step.REFUSE:
                raise errors.UserError(
                    f"{self.place.name} is {seen.node}; start it, or delete it: "
                    f"{launcher('down', self.place)}"
                )
            if step is states.Step.REPLACE:
                reason = _failure(queued)
                self.tear_down()
                if made_here:
                    raise self._failed(gcloud.classify(reason), reason or str(seen))
                continue
            time.sleep(self.poll_seconds)

    def require_ready(self) -> Hosts:
        """Return the slice that is READY.

        Raises:
            UserError: it is not.
        """
        seen, _, node = self.look()
        if states.next_step(seen) is not states.Step.USE:
            raise errors.UserError(
                f"{self.place.name} is not ready ({seen}): {states.explain(seen)}"
            )
        self.ours = True
        return _hosts(node)

    def tear_down(self, looks: int = 1) -> None:
        """Delete node and queued resource, and return when both are not there.

        Args:
            looks: The number of looks in a row that must find nothing.

        Raises:
            UserError: deleting is not allowed.
            GcloudError: asking or deleting failed too often.
        """
        shown, stuck, failures = "", 0, 0
        while True:
            seen, _, _ = self.look()
            looks -= not seen.exists
            if not looks:
                self.touched = False
                say(f"{self.place.name}: nothing is left.")
                return
            if seen.exists and str(seen) != shown:
                shown, stuck, looks = str(seen), 0, 1
                say(f"{self.place.name}: deleting; {shown}")
            stuck += 1
            words = _deletion(self.place, seen, stuck, failures)
            if words:
                failures = 0 if self._delete(words, failures) else failures + 1
            else:
                time.sleep(self.poll_seconds)

    def _create(self, request: phrases.SliceRequest) -> bool:
        """Ask for the slice; return False when somebody else just has."""
        say(f"{self.place.name}: asking for {request.accelerator_type} ...")
        before, self.touched = self.touched, True
        try:
            gcloud.call(phrases.create(self.place, request), timeout_seconds=None)
        except gcloud.GcloudError as error:
            if error.kind is gcloud.Kind.EXISTS and self.look()[0].exists:
                return False
            if error.kind in gcloud.REFUSED:
                self.touched = before
            elif error.kind is gcloud.Kind.OTHER:
                # Nobody knows whether the API was reached.
                self.tear_down(looks=_LOOKS_FOR_NEW)
            elif error.kind is not gcloud.Kind.EXISTS:  # It may be somebody else's.
                self.tear_down()
            raise self._failed(error.kind, str(error)) from error
        self.made_here = self.ours = True
        return True

    def _failed(self, kind: gcloud.Kind, reason: str) -> Exception:
        if kind in gcloud.USERS_KINDS:
            return errors.UserError(f"{self.place.name}: {kind.value}: {reason}")
        return CreationFailed(reason)

    def _ask(self, words: list[str], kind: str) -> dict[str, Any]:
        """Return the description of a resource; {} when it is not there for certain."""
        failures = 0
        while True:
            try:
                return gcloud.ask(words, f"{kind}/{self.place.name}")
            except gcloud.GcloudError as error:
                failures += 1
                if error.kind is gcloud.Kind.NOT_FOUND:
                    return {}
                # Not an error over the quota: that of asking is renewed every minute.
                if error.kind in gcloud.REFUSED:
                    raise errors.UserError(
                        f"The state of {self.place.name} is unknown: {error}"
                    ) from error
                if failures == _MOST_FAILURES:
                    raise
                say(f"Asking for the state failed, trying again: {error}")
            time.sleep(self.poll_seconds)

    def _delete(self, words: list[str], failures: int) -> bool:
        """Run a command whose effect the next look shows; return whether it ran."""
        try:
            gcloud.call(words, timeout_seconds=None)
        except gcloud.GcloudError as error:
            if error.kind in (gcloud.Kind.DENIED, gcloud.Kind.LOGIN):
                raise errors.UserError(
                    f"{self.place.name} could not be deleted: {error}"
                ) from error
            if failures + 1 == _MOST_FAILURES:
                raise
            say(f"Deleting failed, trying again: {error}")
            time.sleep(self.poll_seconds)
            return False
        return True

    def _check_ours(
        self,
        request: phrases.SliceRequest,
        queued: dict[str, Any],
        node: dict[str, Any],
    ) -> None:
        specs = queued.get("tpu", {}).get("nodeSpec", [])
        asked_for = specs[0].get("node", {}) if specs else {}
        found = states.differences(
            node or asked_for, request.accelerator_type, request.runtime_version
        )
        if found:
            raise errors.UserError(
                f"{self.place.name} exists already, with {' and '.join(found)}; take "
                f"another --name, or delete it: {launcher('down', self.place)}"
            )
        self.ours = True


def say(text: str) -> None:
    """Print a line for the launcher's user, who may have closed the terminal."""
    with contextlib.suppress(OSError):
        print(f"[launcher] {text}", flush=True)


def launcher(command: str, place: phrases.Place) -> str:
    """Return a command line of this launcher about the slice."""
    return f"python -m launch.tpu {command} {place.launcher_flags}"


def _deletion(
    place: phrases.Place, seen: states.Seen, stuck: int, failures: int
) -> list[str]:
    """Return the command that deletes what comes next, or [] to wait.

    Args:
        place: Where the slice is.
        seen: The states of the slice.
        stuck: The number of looks that found these states.
        failures: The number of failed deletions in a row.
    """
    if seen.node and seen.node != "DELETING":
        if seen.queued and failures > 2:
            return phrases.delete_queued(place, force=True)
        return phrases.delete_node(place)
    if seen.node or not seen.queued:
        return []
    if seen.queued in states.QUEUE_DELETABLE:
        return phrases.delete_queued(place)
    # It has no node to delete first, and does not move on by itself.
    is_stuck = seen.queued != "DELETING" and stuck > 2
    return phrases.delete_queued(place, force=True) if is_stuck else []


def _hosts(node: dict[str, Any]) -> Hosts:
    addresses = (point["ipAddress"] for point in node["networkEndpoints"])
    accelerator = str(node["acceleratorType"]).rpartition("/")[2]
    return Hosts(tuple(addresses), accelerator, str(node["runtimeVersion"]))


def _failure(queued: dict[str, Any]) -> str:
    """Return why a queued resource FAILED, or ''."""
    error = queued.get("state", {}).get("failedData", {}).get("error", {})
    return " ".join(str(error.get("message", "")).split())
