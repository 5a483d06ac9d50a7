"""Notices of Google Compute Engine that this machine is about to end.

Its metadata server announces the preemption of a Spot VM by `instance/preempted`
(https://cloud.google.com/compute/docs/instances/spot), and of maintenance by
`instance/maintenance-event`: NONE, TERMINATE_ON_HOST_MAINTENANCE, or
MIGRATE_ON_HOST_MAINTENANCE, which a run survives
(https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice).
"""

import http.client
import os
import threading

from absl import logging

DEFAULT_HOST = "metadata.google.internal"
_PATH = "/computeMetadata/v1/instance/"
_HEADER, _FLAVOR = "Metadata-Flavor", "Google"
_ENDS = {
    "preempted": "TRUE",
    "maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE",
}
# On GKE the server may refuse the first connections of a new pod.
_FIRST_ATTEMPTS = 3


_PRODUCT = "/sys/class/dmi/id/product_name"


def are_expected() -> bool:
    """Return whether this is a machine of Compute Engine's; asks no other machine.

    By the name that the firmware gives, or by GCE_METADATA_HOST.
    """
    if os.environ.get("GCE_METADATA_HOST"):
        return True
    try:
        with open(_PRODUCT) as file:
            return file.read().startswith("Google")
    except OSError:
        return False


def watch(
    stop: threading.Event, *, every_seconds: float = 5.0, timeout_seconds: float = 3.0
) -> threading.Thread:
    """Set `stop` once a notice says that this machine ends; return the thread.

    It ends by itself once `stop` is set, and where there is no metadata server at
    `GCE_METADATA_HOST` (default `metadata.google.internal`). A notice for another
    machine of a slice is not seen here.
    """
    host = os.environ.get("GCE_METADATA_HOST") or DEFAULT_HOST
    thread = threading.Thread(
        target=_poll,
        args=(stop, host, every_seconds, timeout_seconds),
        name="notices",
        daemon=True,
    )
    thread.start()
    return thread


def _poll(
    stop: threading.Event, host: str, every_seconds: float, timeout_seconds: float
) -> None:
    attempts, answered = 0, False
    while not stop.is_set():
        for key, end in _ENDS.items():
            value = _get(host, key, timeout_seconds)
            answered = answered or value is not None
            if value == end:
                logging.info(
                    "This machine is about to end (%s is %s): saving and stopping "
                    "after this loop.",
                    key,
                    value,
                )
                stop.set()
                return
        attempts += 1
        if not answered and attempts == _FIRST_ATTEMPTS:
            return
        stop.wait(every_seconds)


def _get(host: str, key: str, timeout_seconds: float) -> str | None:
    """Return the value of a key, '' for an error of the server, None without one."""
    # No proxy and no redirection: only this machine's server may answer.
    try:
        connection = http.client.HTTPConnection(host, timeout=timeout_seconds)
        try:
            connection.request("GET", _PATH + key, headers={_HEADER: _FLAVOR})
            answer = connection.getresponse()
            if answer.headers.get(_HEADER) != _FLAVOR:
                return None
            text = answer.read(100).decode(errors="replace").strip()
            return text if answer.status == http.client.OK else ""
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None
