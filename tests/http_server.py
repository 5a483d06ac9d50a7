"""A server of files on loopback that honours Range, as Python's own does not."""

import contextlib
import http.server
import os
import re

from tests import loopback


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends files, or parts of them; it lists nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = os.path.join(self.server.folder, self.path.lstrip("/"))
        if not os.path.isfile(path):
            self._answer(404, b"")
            return
        with open(path, "rb") as file:
            content = file.read()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not self.server.ranges:
            self._answer(200, content)
            return
        first, last = int(wanted[1]), int(wanted[2] or len(content))
        if first >= len(content):
            self._answer(416, b"")
        else:
            self._answer(206, content[first : last + 1])

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

    def log_message(self, *arguments):
        del arguments


@contextlib.contextmanager
def serve(folder, *, ranges=True):
    """Yield the URL of a folder."""
    with loopback.serving(Handler, folder=str(folder), ranges=ranges) as server:
        yield f"http://127.0.0.1:{server.server_port}"
