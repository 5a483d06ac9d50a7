"""A stand-in for Google Cloud Storage: buckets in memory, behind a proxy with TLS.

TensorFlow's own client for gs:// talks to it: it takes proxy, certificate and token
from the environment. Of the JSON API there is what that client calls.
"""

import contextlib
import dataclasses
import http.server
import json
import re
import ssl
import subprocess
import urllib.parse

from tests import loopback

MOST_REQUESTS = 2000
HOSTS = ("www.googleapis.com", "storage.googleapis.com")


@dataclasses.dataclass
class Storage:
    """Objects by (bucket, name), and how the service behaves."""

    buckets: set[str] = dataclasses.field(default_factory=set)
    objects: dict[tuple[str, str], bytes] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)
    forbidden: set[str] = dataclasses.field(default_factory=set)  # HTTP methods.


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from its server's storage."""

    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server.certificate)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self):
        bucket, name, query = self._target()
        if self._refused(bucket):
            return
        if name is None:
            self._json({} if query is None else self._listing(bucket, query))
        elif (bucket, name) not in self.server.storage.objects:
            self._answer(404, b"no such object")
        elif self.path.startswith("/storage/"):
            size = len(self.server.storage.objects[bucket, name])
            time = "2026-01-01T00:00:00.000Z"
            self._json({"size": str(size), "generation": "1", "updated": time})
        else:
            self._part(self.server.storage.objects[bucket, name])

    def do_POST(self):
        body = loopback.body(self)
        bucket, name, query = self._target()
        if self._refused(bucket):
            return
        if query and query.get("uploadType") == "media":
            self.server.storage.objects[bucket, query["name"]] = body
            self._json({})
            return
        if self.path.startswith("/upload/"):
            self.server.uploads[str(len(self.server.uploads))] = bucket, query["name"]
            location = f"https://{HOSTS[0]}/session/{len(self.server.uploads) - 1}"
            self._answer(200, b"", Location=location)
            return
        source, _, target = name.partition("/rewriteTo/b/")
        to_bucket, _, to_name = target.partition("/o/")
        self.server.storage.objects[to_bucket, to_name] = self.server.storage.objects[
            bucket, source
        ]
        self._json({"done": True})

    def do_PUT(self):
        place = self.server.uploads[self.path.rpartition("/")[2]]
        self.server.storage.objects[place] = loopback.body(self)
        self._json({})

    def do_DELETE(self):
        bucket, name, _ = self._target()
        if self._refused(bucket):
            return
        if self.server.storage.objects.pop((bucket, name), None) is None:
            self._answer(404, b"no such object")
        else:
            self._answer(204, b"")

    def _target(self):
        """Return (bucket, object or None, query or None)."""
        path, _, text = self.path.partition("?")
        self.server.storage.requests.append(f"{self.command} {self.path}")
        if (
            len(self.server.storage.requests) > MOST_REQUESTS
        ):  # A client that never gives up.
            self.server.storage.forbidden |= {"GET", "POST", "DELETE"}
        path = re.sub(r"^(/upload)?/storage/v1/b/", "", path)
        bucket, _, rest = path.lstrip("/").partition("/")
        rest = rest.removeprefix("o/") if rest != "o" else ""
        query = dict(urllib.parse.parse_qsl(text)) if text else None
        return bucket, urllib.parse.unquote(rest) or None, query

    def _refused(self, bucket):
        if self.command in self.server.storage.forbidden:
            self._answer(
                403, b'{\n "error": "no access to self.server.storage.objects"\n}'
            )
        elif bucket not in self.server.storage.buckets:
            self._answer(404, b'{\n "error": "The bucket does not exist."\n}')
        else:
            return False
        return True

    def _listing(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], set()
        for place, name in sorted(self.server.storage.objects):
            if place != bucket or not name.startswith(prefix):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            if delimiter and found:
                prefixes.add(f"{prefix}{head}{delimiter}")
            else:
                items.append({"name": name})
        return {"items": items, "prefixes": sorted(prefixes)}

    def _part(self, content):
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(content):
            self._answer(416, b"")
        else:
            self._answer(206, content[int(first) : int(last) + 1])

    def _json(self, value):
        self._answer(200, json.dumps(value).encode())

    def _answer(self, status, content, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        del arguments


def _certify(folder):
    """Return (certificate, key) for the hosts, which certifies itself."""
    pair = str(folder / "certificate.pem"), str(folder / "key.pem")
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    subprocess.run(
        [*command.split(), "-nodes", "-subj", "/CN=stand-in", "-out", pair[0]]
        + ["-keyout", pair[1], "-addext", f"subjectAltName={names}"],
        check=True,
        capture_output=True,
    )
    return pair


@contextlib.contextmanager
def serve(folder, storage):
    """Yield what in the environment of a process leads gs:// to `storage`."""
    parts = {"storage": storage, "certificate": _certify(folder), "uploads": {}}
    with loopback.serving(Handler, **parts) as server:
        yield {
            "https_proxy": f"http://127.0.0.1:{server.server_port}",
            "no_proxy": "",
            "CURL_CA_BUNDLE": server.certificate[0],
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
            "GCS_RETRY_CONFIG_MAX_RETRIES": "1",
            "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "1000",
        }
