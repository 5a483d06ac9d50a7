"""What a server of files answers that is none; more: s3_files_test.py, http_test.py."""

import http.server
import threading

import pytest

from sam_pod import errors
from sam_pod.storage import objects


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, and says nothing of a length."""

    def do_HEAD(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *arguments):
        del arguments


@pytest.fixture
def url():
    with http.server.HTTPServer(("127.0.0.1", 0), Odd) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("200", "does not say how long it is"),
        ("400", "refuses it with HTTP 400: check the address"),
        ("410", "refuses it with HTTP 410: check the address"),
        ("my data", "is no address: write its spaces"),
        ("caf\u00e9", "is no address: write its spaces"),
    ],
)
def test_what_no_later_answer_mends_is_told_at_once(url, path, message):
    with pytest.raises(errors.UserError, match=message):
        objects.size(f"{url}/{path}")
