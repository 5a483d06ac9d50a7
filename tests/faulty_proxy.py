"""A proxy before an HTTP server on loopback that fails when the test says so.

Which requests fail is decided by the test, from the request alone and what came before
it: nothing is random, and nothing depends on the time.
"""

import contextlib
import dataclasses
import http.client
import http.server
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable

from tests import loopback


@dataclasses.dataclass(frozen=True)
class Status:
    """Answer with an HTTP status instead of passing the request on."""

    code: int

    @property
    def body(self) -> bytes:
        """What S3 says with it."""
        name = {403: "AccessDenied", 503: "SlowDown"}.get(self.code, "InternalError")
        words = f"<Code>{name}</Code><Message>by the proxy</Message>"
        return f'<?xml version="1.0"?><Error>{words}</Error>'.encode()


@dataclasses.dataclass(frozen=True)
class Reset:
    """Reset the connection, after so many bytes of the real answer's body."""

    after: int | None = None  # None: before the request is passed on.


@dataclasses.dataclass(frozen=True)
class Slow:
    """Wait, then pass the answer on in pieces with waits between them."""

    seconds: float
    pieces: int = 1


Fault = Status | Reset | Slow


@dataclasses.dataclass
class Proxy:
    """What the proxy saw, and how it behaves."""

    upstream: str  # host:port
    # From (method, path with query, how many such requests came before).
    plan: Callable[[str, str, int], Fault | None] = lambda method, path, number: None
    requests: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    ranges: list[str] = dataclasses.field(default_factory=list)  # Asked for.
    faults: list[tuple[str, str, Fault]] = dataclasses.field(default_factory=list)
    url: str = ""
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    stopped: threading.Event = dataclasses.field(default_factory=threading.Event)

    def decide(self, method: str, path: str) -> Fault | None:
        with self.lock:
            number = self.requests.count((method, path))
            self.requests.append((method, path))
            fault = self.plan(method, path, number)
            if fault:
                self.faults.append((method, path, fault))
            return fault


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes requests on, or fails as the plan of its server's proxy says."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def pass_on(self):
        body = loopback.body(self)
        if "Range" in self.headers:
            self.server.proxy.ranges.append(self.headers["Range"])
        fault = self.server.proxy.decide(self.command, self.path)
        if isinstance(fault, Status):
            self._answer(fault.code, [], b"" if self.command == "HEAD" else fault.body)
            return
        if isinstance(fault, Reset) and fault.after is None:
            self._reset()
            return
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k not in _HOP}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        if isinstance(fault, Slow):
            self.server.proxy.stopped.wait(fault.seconds)
        self._answer(response.status, response.getheaders(), content, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

    def _answer(self, status, headers, content, fault=None):
        self.send_response_only(status)
        for key, value in headers:
            if key.lower() not in ("content-length", "connection", *_HOP):
                self.send_header(key, value)
        length = dict(headers).get("Content-Length", len(content))
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        if isinstance(fault, Reset):
            self.wfile.write(content[: fault.after])
            self.wfile.flush()
            self._reset()
            return
        pieces = fault.pieces if isinstance(fault, Slow) else 1
        step = -(-len(content) // pieces) or 1
        for start in range(0, len(content), step):
            if start:
                self.server.proxy.stopped.wait(fault.seconds)
            self.wfile.write(content[start : start + step])
            self.wfile.flush()

    def _reset(self):
        # Closed with something to linger for, zero seconds: TCP's RST.
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.close_connection = True
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def handle(self):
        with contextlib.suppress(OSError, ValueError):  # The client is gone.
            super().handle()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *arguments):
        del arguments


_HOP = ("Host", "Connection", "Transfer-Encoding", "Expect")


@contextlib.contextmanager
def serve(upstream_url: str):
    """Yield a running proxy before the server at a URL."""
    proxy = Proxy(urllib.parse.urlsplit(upstream_url).netloc)
    with loopback.serving(Handler, proxy=proxy) as server:
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield proxy
        finally:
            proxy.stopped.set()
