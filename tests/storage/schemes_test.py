"""Which file system serves a path, and whether it answers; and how a process ends."""

import os
import socket
import subprocess
import sys

import pytest

from sam_pod import errors
from sam_pod.storage import files, schemes
from tests import runs


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AWS_", "S3_", "TF_AZURE_")) or "proxy" in name.lower():
            monkeypatch.delenv(name)
    schemes._silence.cache_clear()


@pytest.mark.parametrize(
    ("path", "variables", "expected"),
    [
        ("s3://b/x", {}, ("s3.amazonaws.com", 443)),
        ("s3://b/x", {"AWS_REGION": "eu-1"}, ("s3.eu-1.amazonaws.com", 443)),
        ("s3://b/x", {"S3_ENDPOINT": "http://h:5555"}, ("h", 5555)),
        ("s3://b/x", {"S3_ENDPOINT": "https://h/"}, ("h", 443)),
        ("http://h/x", {}, ("h", 80)),
        ("https://h:8443/x", {}, ("h", 8443)),
        ("https://h/x", {"https_proxy": "http://p:3128"}, ("p", 3128)),
        ("https://h/x", {"https_proxy": "p:3128"}, ("p", 3128)),
        ("az://account/c/x", {}, ("account.blob.core.windows.net", 443)),
        (
            "az://account.blob.core.windows.net/c/x",
            {},
            ("account.blob.core.windows.net", 443),
        ),
        ("az://a/c/x", {"TF_AZURE_STORAGE_BLOB_ENDPOINT": "http://h:1"}, ("h", 1)),
        ("az://a/c/x", {"TF_AZURE_USE_DEV_STORAGE": "1"}, ("127.0.0.1", 10000)),
        ("hdfs://namenode/x", {}, ("namenode", 8020)),
        ("hdfs://namenode:9000/x", {}, ("namenode", 9000)),
        ("hdfs://default/x", {}, None),
        ("viewfs://cluster/x", {}, None),
        ("gs://bucket/x", {}, None),
    ],
)
def test_who_must_answer_for_a_path(monkeypatch, path, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert schemes.endpoint(path) == expected


@pytest.mark.parametrize(
    "path", ["s3://b/x", "az://account/c/x", "hdfs://h/x", "http://h/x"]
)
def test_an_environment_without_what_serves_a_path_says_so(monkeypatch, path):
    """As that of `runtime.strategy` 'pjrt'; nobody is asked before."""
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    monkeypatch.setattr(schemes, "_silence", pytest.fail)
    with pytest.raises(errors.UserError) as raised:
        files.check_scheme(path, "--workdir")
    scheme = path.partition(":")[0]
    line = str(raised.value)
    assert line.startswith(f"--workdir is {path}, and this environment has no")
    assert f"tensorflow-io, which serves {scheme}://: copy" in line
    assert "take gs://" in line and "requirements.lock" in line


@pytest.mark.parametrize(
    "path",
    ["s3://b/x", "az://account/c/x", "hdfs://127.0.0.1:1/x", "http://127.0.0.1:1/x"],
)
def test_who_does_not_answer_is_named_at_once(monkeypatch, path):
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("TF_AZURE_STORAGE_BLOB_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(errors.UserError) as raised:
        files.check_scheme(path, "`data.dir`")
    line = str(raised.value)
    assert f"`data.dir` is {path}, but 127.0.0.1:1 does not answer (" in line
    assert "check the network" in line


def test_a_service_that_drops_what_it_is_sent_is_waited_for_seconds(monkeypatch):
    asked = []

    def connect(address, timeout):
        asked.append((address, timeout))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    for _ in range(2):
        with pytest.raises(errors.UserError, match=r"h:80 does not answer .timed out"):
            schemes.check("http://h/x", "`data.dir`")
    assert asked == [(("h", 80), schemes.PROBE_SECONDS)]


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5555", "host", "ftp://host", "//host"])
def test_an_endpoint_needs_its_scheme(monkeypatch, endpoint):
    monkeypatch.setenv("S3_ENDPOINT", endpoint)
    with pytest.raises(errors.UserError, match=r"S3_ENDPOINT is .*http://"):
        schemes.check("s3://b/x", "--workdir")


@pytest.mark.parametrize("endpoint", ["http://h:port", "https://:1"])
def test_an_endpoint_must_be_an_address(monkeypatch, endpoint):
    monkeypatch.setenv("S3_ENDPOINT", endpoint)
    with pytest.raises(errors.UserError, match="is not an address"):
        schemes.check("s3://b/x", "--workdir")


@pytest.mark.parametrize(
    "path", ["hdfs://namenode:port/x", "http://[bad/x", "s3://[x/y", "https://h:p/x"]
)
def test_a_path_must_be_an_address(path):
    with pytest.raises(errors.UserError, match="is not an address"):
        schemes.check(path, "--workdir")


def test_a_host_must_have_a_name_that_can_be_one():
    with pytest.raises(errors.UserError, match="that is no name of a host"):
        schemes.check("http://data..example.com/x", "`data.dir`")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("s3://bucket", "s3://BUCKET/FOLDER"),
        ("s3://bucket/", "s3://BUCKET/FOLDER"),
        ("az://account/container", "az://ACCOUNT/CONTAINER/FOLDER"),
        ("hdfs:///", "hdfs://HOST/FOLDER"),
    ],
)
def test_a_path_must_name_a_folder(path, form):
    with pytest.raises(errors.UserError, match=f"it must look like {form}"):
        schemes.check(path, "--workdir")


@pytest.mark.slow
def test_hadoop_that_is_not_there_is_told():
    """Where there is Java and Hadoop, there is nothing to report."""
    code = (
        "from sam_pod.storage import files\n"
        "try:\n    files.check_scheme('viewfs://cluster/x', '--workdir')\n"
        "except ValueError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=runs.ROOT
    )
    if "HADOOP_HDFS_HOME" not in os.environ:
        assert "Hadoop's client cannot be loaded (HadoopFileSystem" in done.stdout
        assert "CLASSPATH" in done.stdout


LOADS = """
import sys
from sam_pod.process import command
from sam_pod.storage import files; from sam_pod.storage import schemes as storage
for path in ("data/x", "gs://b/x", "oss://c/x"):
    try:
        files.check_scheme(path, "`data.dir`")
    except Exception as error:
        print(error)
    print("tensorflow_io" in sys.modules)
command.leave(3)
"""


@pytest.mark.slow
def test_what_tensorflow_has_built_in_loads_nothing_more():
    done = subprocess.run(
        [sys.executable, "-c", LOADS], capture_output=True, text=True, cwd=runs.ROOT
    )
    # Written and with the right code, whatever Python's own exit would do.
    expected = ("False\nFalse\nTrue\n", "", 3)
    assert (done.stdout, done.stderr, done.returncode) == expected
