"""Notices from a stand-in for the metadata server, over real connections."""

import contextlib
import http.server
import socket
import threading

import pytest

from sam_pod.process import notices

pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnhandledThreadExceptionWarning"
)
PREFIX = "/computeMetadata/v1/instance/"


class Server:
    """Answers with what `answers` gives for a key: one of a list after the other."""

    def __init__(self, answers, flavor="Google"):
        self.answers = {key: list(values) for key, values in answers.items()}
        self.requests = []
        self.release = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, self.headers["Metadata-Flavor"]))
                values = outer.answers[self.path.removeprefix(PREFIX)]
                answer = values.pop(0) if len(values) > 1 else values[0]
                if answer == "late":
                    outer.release.wait(60)
                    return
                status, text = answer if isinstance(answer, tuple) else (200, answer)
                self.send_response(status)
                if flavor:
                    self.send_header("Metadata-Flavor", flavor)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments):
                del arguments

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve(monkeypatch):
    with contextlib.ExitStack() as stack:

        def start(**keywords):
            server = Server(**keywords)
            stack.callback(server.close)
            monkeypatch.setenv("GCE_METADATA_HOST", server.host)
            return server

        yield start


def answers(preempted=("FALSE",), maintenance=("NONE",)):
    return {"preempted": preempted, "maintenance-event": maintenance}


@pytest.fixture(autouse=True)
def log(caplog):
    with caplog.at_level("INFO", logger="absl"):
        yield caplog


def watch(stop=None):
    stop = stop or threading.Event()
    thread = notices.watch(stop, every_seconds=0.01, timeout_seconds=0.3)
    return stop, thread


@pytest.mark.parametrize(
    ("values", "notice"),
    [
        (answers(preempted=["FALSE", "FALSE", "TRUE\n"]), "preempted is TRUE"),
        (
            answers(
                maintenance=[
                    "NONE",
                    "MIGRATE_ON_HOST_MAINTENANCE",
                    "NONE",
                    "TERMINATE_ON_HOST_MAINTENANCE",
                ]
            ),
            "maintenance-event is TERMINATE_ON_HOST_MAINTENANCE",
        ),
    ],
)
def test_a_notice_asks_the_run_to_stop(serve, log, values, notice):
    server = serve(answers=values)
    stop, thread = watch()
    assert stop.wait(30)
    thread.join(30)
    assert not thread.is_alive()
    assert [notice in record.getMessage() for record in log.records] == [True]
    paths = {path for path, _ in server.requests}
    assert paths <= {f"{PREFIX}preempted", f"{PREFIX}maintenance-event"}
    assert {flavor for _, flavor in server.requests} == {"Google"}
    assert len(server.requests) >= 5  # Nothing before the last answer was a notice.


@pytest.mark.parametrize(
    "trouble", [(404, "TRUE"), (500, "TRUE"), (503, ""), "late", "", "true", "x" * 1000]
)
def test_trouble_in_between_changes_nothing(serve, trouble):
    server = serve(
        answers=answers(["FALSE", *[trouble] * 5, "TRUE"], ["NONE", *[trouble] * 5])
    )
    stop, thread = watch()
    thread.join(30)
    assert stop.is_set()
    assert server.answers["preempted"] == ["TRUE"]  # None of the others was believed.


def test_trouble_at_first_is_asked_again(serve):
    serve(answers=answers(["late", (500, ""), "TRUE"], ["late", "NONE"]))
    stop, thread = watch()
    thread.join(30)
    assert stop.is_set()


@pytest.mark.parametrize("flavor", [None, "Other"])
def test_another_server_is_not_believed(serve, log, flavor):
    server = serve(answers=answers(preempted=["TRUE"]), flavor=flavor)
    stop, thread = watch()
    thread.join(30)
    assert not thread.is_alive()
    assert not stop.is_set()
    assert not log.records
    assert len(server.requests) == 6


def nobody():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    "host", [nobody, "no-such-host.invalid", "127.0.0.1:none", "bad host"]
)
def test_a_host_elsewhere_ends_quietly(monkeypatch, log, host):
    monkeypatch.setenv("GCE_METADATA_HOST", host() if callable(host) else host)
    stop, thread = watch()
    thread.join(30)
    assert not thread.is_alive()
    assert not stop.is_set()
    assert not log.records


def test_the_thread_ends_with_the_run(serve):
    serve(answers=answers())
    stop, thread = watch()
    assert not stop.wait(0.1)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_proxy_is_not_asked(serve, monkeypatch):
    serve(answers=answers(preempted=["TRUE"]))
    monkeypatch.setenv("http_proxy", f"http://{nobody()}")
    assert watch()[0].wait(30)


@pytest.mark.parametrize(
    ("product", "host", "expected"),
    [
        ("Google Compute Engine\n", "", True),
        ("Google\n", "", True),
        ("HVM domU\n", "", False),
        ("HVM domU\n", "127.0.0.1:1", True),
        (None, "", False),
    ],
)
def test_only_a_machine_of_compute_engines_is_watched(
    monkeypatch, tmp_path, product, host, expected
):
    path = tmp_path / "product_name"
    if product:
        path.write_text(product)
    monkeypatch.setattr(notices, "_PRODUCT", str(path))
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    assert notices.are_expected() == expected
