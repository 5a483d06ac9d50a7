"""A local place for files that belong in a folder which may be in a bucket.

Files of events grow and are flushed. In a bucket each flush would send the whole file,
at moments that TensorFlow chooses, and a failed flush would leave it damaged. So they
are written on the local disk and sent when `send` is called.
"""

import os
import tempfile

from sam_pod.storage import files


class Outbox:
    """A local folder, and the remote one to which `send` copies its new content."""

    def __init__(self, target: str) -> None:
        """Take the folder where the files belong; a local one is written directly."""
        self._target = target
        self._temporary: tempfile.TemporaryDirectory | None = None
        self.folder = target
        if files.is_remote(target):
            self._temporary = tempfile.TemporaryDirectory(prefix="sam_pod-")
            self.folder = self._temporary.name
        self._sent: dict[str, tuple[int, int]] = {}

    def send(self) -> None:
        """Bring all files, as they are now, to where they belong."""
        if self._temporary is None:
            return
        for parent, _, names in sorted(os.walk(self.folder)):
            for name in sorted(names):
                path = os.path.join(parent, name)
                status = os.stat(path)
                state = status.st_size, status.st_mtime_ns
                if self._sent.get(path) != state:
                    place = os.path.relpath(path, self.folder).replace(os.sep, "/")
                    files.upload(path, f"{self._target}/{place}")
                    self._sent[path] = state

    def close(self) -> None:
        """Delete the local folder, if it is not where the files belong."""
        if self._temporary:
            self._temporary.cleanup()
