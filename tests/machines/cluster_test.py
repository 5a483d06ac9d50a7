"""TF_CONFIG: what it says, and what it may not."""

import json
import os
import socket

import pytest

from sam_pod import errors
from sam_pod.machines import cluster

TWO = ["a:1", "b:2"]


def config(jobs, kind="worker", index=0):
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "addresses", "index"),
    [
        ("", ("",), 0),
        ("{}", ("",), 0),
        (config({"worker": TWO}, index=1), ("a:1", "b:2"), 1),
        (config({"worker": ["a:1"]}), ("a:1",), 0),
        (config({"worker": TWO}, index="1"), ("a:1", "b:2"), 1),
        (config({"chief": ["c:3"], "worker": TWO}, "chief"), ("c:3", "a:1", "b:2"), 0),
        (config({"chief": ["c:3"], "worker": TWO}, index=1), ("c:3", "a:1", "b:2"), 2),
    ],
)
def test_reads_the_workers_chief_first(monkeypatch, text, addresses, index):
    monkeypatch.setenv("TF_CONFIG", text)
    found = cluster.read()
    assert (found.addresses, found.index) == (addresses, index)
    assert found.is_chief == (index == 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cluster":', "TF_CONFIG does not parse"),
        ("[1]", "TF_CONFIG does not parse"),
        (config({"worker": "a:1"}), r"does not parse \(its worker is 'a:1'"),
        (config({"worker": ["a"]}), "not a list of HOST:PORT"),
        (config({"worker": TWO}, index="x"), "does not parse"),
        (config({"chief": TWO}, "chief"), "more than one chief"),
        (config({"worker": ["a:1", "a:1"]}), "names a:1 twice"),
        (config({"chief": ["a:1"], "worker": ["a:1"]}), "names a:1 twice"),
        (config({"worker": TWO}, index=2), "this is worker 2; its cluster has 2"),
        (config({"worker": TWO}, index=-1), "this is worker -1"),
        (config({"worker": TWO}, "chief"), "this is chief 0; its cluster has 0"),
        (config({"worker": TWO, "ps": ["p:1"]}), "a task of type 'ps'"),
        (config({"worker": TWO}, "evaluator"), "a task of type 'evaluator'"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(errors.UserError, match=message) as caught:
        cluster.read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["grpc://a:1", "a b:1", "a:0", "a:99999", "a:1,b:2", "a:x"]
)
def test_an_address_that_cannot_be_one_is_refused(monkeypatch, address):
    monkeypatch.setenv("TF_CONFIG", config({"worker": ["b:1", address]}))
    with pytest.raises(errors.UserError, match="not a list of HOST:PORT"):
        cluster.read()


@pytest.mark.parametrize("index", ["0.7", "1e999", "true"])
def test_an_index_is_a_whole_number(monkeypatch, index):
    text = config({"worker": TWO}).replace('"index": 0', f'"index": {index}')
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(errors.UserError, match="its index is"):
        cluster.read()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_tensorflow_reads_is_complete(monkeypatch, index):
    whole = cluster.Cluster(("c:3", "a:1", "b:2"), index, True)
    monkeypatch.setenv("TF_CONFIG", whole.to_json())
    assert cluster.read() == whole


def test_jobs_follow_the_addresses():
    workers = cluster.Cluster(("a:1", "b:2"))
    assert workers.jobs == [("worker", 2)]
    assert cluster.Cluster(("a:1", "b:2"), 0, True).jobs == [
        ("chief", 1),
        ("worker", 1),
    ]
    assert cluster.Cluster(("a:1",), 0, True).jobs == [("chief", 1)]


def test_a_port_in_use_is_refused():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(errors.UserError, match=f"{address}.*in use.*give another"):
            cluster.check_port(cluster.Cluster((address, "b:2"), 0))
    cluster.check_port(cluster.Cluster((address, "b:2"), 0))
    with pytest.raises(errors.UserError, match="cannot be used"):
        cluster.check_port(cluster.Cluster(("a:99999",), 0))


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_one_is_none_for_tensorflow_either(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster.read() == cluster.Cluster()
    assert "TF_CONFIG" not in os.environ
