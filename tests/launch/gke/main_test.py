"""python -m launch.gke: what it prints, and what it refuses."""

import re

import pytest
import yaml

from launch.gke import __main__ as gke
from launch.gke import jobset
from tests import runs
from tests.launch import schemas

RECIPE = str(runs.ROOT / "configs" / "resnet20.py") + ":digits"
FLAGS = {
    "name": "digits",
    "accelerator_type": "v5litepod-4",
    "image": "us-docker.pkg.dev/project/repo/sam_pod:1",
    "workdir": "gs://bucket/digits",
}
TRAINER = [f"--config={RECIPE}", "--config.data.dir=gs://bucket/data"]


def run(capfd, *trainer, extra=(), **flags):
    """Return (exit code, stdout, stderr); a flag that is None is left out."""
    chosen = {k: v for k, v in {**FLAGS, **flags}.items() if v is not None}
    given = [f"--{name}={value}" for name, value in chosen.items()]
    code = gke.main(["launch.gke", *given, *extra, "--", *TRAINER, *trainer])
    return code, *capfd.readouterr()


def printed(capfd, *trainer, **keywords):
    code, out, err = run(capfd, *trainer, **keywords)
    assert (code, err) == (0, "")
    return yaml.safe_load(out), out


def expand(text):
    """Return an argument as the kubelet passes it on, when no variable is set.

    `$$` is a dollar; `$(NAME)` is the value of a variable that exists, or itself.
    """
    return re.sub(r"\$\$", "$", text)


def test_the_manifest_of_one_host(capfd):
    document, text = printed(capfd)
    schemas.check(document)
    assert text.startswith("# sam_pod on v5litepod-4: 1 host(s).\napiVersion:")
    assert document["metadata"] == {"name": "digits"}
    pod = document["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == FLAGS["image"]
    assert container["args"] == [
        *TRAINER,
        "--workdir=gs://bucket/digits",
        "--tpu=local",
    ]


def test_the_manifest_of_several_hosts(capfd):
    document, text = printed(
        capfd, accelerator_type="v4-32", extra=["--experimental_multi_host"]
    )
    schemas.check(document)
    assert text.splitlines()[1].startswith("# Experimental")


def test_it_reads_from_the_image_to_its_arguments(capfd):
    long = "--config.model.name=" + "long " * 100
    _, text = printed(capfd, long)
    words = ["image:", "command:", "args:", f"- '{long}'\n", "- --workdir=", "env:"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_every_option_arrives(capfd):
    document, _ = printed(
        capfd,
        namespace="research",
        service_account="trainer.team",
        max_restarts=3,
        grace_period_seconds=25,
        extra=["--spot"],
    )
    schemas.check(document)
    text = yaml.safe_dump(document)
    for value in ("research", "trainer.team", "maxRestarts: 3", "Seconds: 25", "spot"):
        assert value in text


@pytest.mark.parametrize(
    "odd",
    [
        "--config.model.name=a b",
        "--config.model.name=\"a\" 'b'",
        "--config.model.name=$(HOME) $HOME $$ $$(HOME)",
        "--config.model.name=# : - {a} [b] & * ! | > %",
        "--config.model.name=\\n\\",
        "--config.model.name=line\nline",
        "--config.model.name=" + "long " * 100,
        "--config.model.name=ü ∇",
    ],
)
def test_arguments_arrive_unchanged(capfd, odd):
    document, _ = printed(capfd, odd)
    job = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    arguments = job["template"]["spec"]["containers"][0]["args"]
    assert expand(arguments[2]) == odd


@pytest.mark.parametrize(
    ("accelerator_type", "topology"), [("v4-1024", "4x8x16"), ("v5p-256", "4x4x8")]
)
def test_a_topology_that_the_slice_can_have(capfd, accelerator_type, topology):
    document, text = printed(
        capfd,
        "--config.global_batch_size=1024",
        accelerator_type=accelerator_type,
        topology=topology,
        extra=["--experimental_multi_host"],
    )
    schemas.check(document)
    assert f"gke-tpu-topology: {topology}\n" in text


@pytest.mark.parametrize(
    ("accelerator_type", "hosts"), [("v6e-4", 1), ("v6e-16", 4), ("tpu7x-8", 1)]
)
def test_where_jax_executes_the_steps(capfd, accelerator_type, hosts):
    code, out, err = run(capfd, accelerator_type=accelerator_type)
    assert code == 0
    document = yaml.safe_load(out)
    schemas.check(document)
    job = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completions"] == hosts
    assert container["command"][-1] == "sam_pod.main"
    assert container["args"][-1] == "--config.runtime.strategy=pjrt"
    assert "--tpu=local" not in container["args"] and "Experimental" not in out
    assert err.count("\n") == 1 and "has been seen on a TPU yet" in err


def test_a_replica_of_tpu7x_is_half_a_chip(capfd):
    flags = {"accelerator_type": "tpu7x-8"}
    code, _, err = run(capfd, "--config.global_batch_size=12", **flags)
    assert (code, "replicas (8): take 8 or 16" in err) == (1, True)


@pytest.mark.parametrize("hosts", [1, 4, 16])
def test_the_longest_name_is_taken(capfd, hosts):
    accelerator_type = {1: "v5litepod-4", 4: "v4-32", 16: "v5litepod-64"}[hosts]
    longest = 63 - len(jobset.longest_pod_name("", hosts))
    for size, expected in ((longest, 0), (longest + 1, 1)):
        code, _, err = run(
            capfd,
            name="a" * size,
            accelerator_type=accelerator_type,
            extra=["--experimental_multi_host"],
        )
        assert code == expected, err
    assert "63" in err


@pytest.mark.parametrize(
    "image", ["python", "python:3.10", "localhost:5000/a/b_c@sha256:" + "0" * 64]
)
def test_names_of_images(capfd, image):
    assert run(capfd, image=image)[0] == 0


@pytest.mark.parametrize(
    ("flags", "trainer", "message"),
    [
        ({"name": None}, [], "--name is missing"),
        ({"accelerator_type": None}, [], "--accelerator_type is missing"),
        ({"image": None}, [], "--image is missing"),
        ({"workdir": None}, [], "--workdir is missing"),
        ({"accelerator_type": "v5e-4"}, [], "no accelerator type 'v5e-4'"),
        ({"accelerator_type": "v2-8"}, [], "GKE has no v2-8"),
        ({"accelerator_type": "v4-32"}, [], "--experimental_multi_host"),
        ({"name": "Digits"}, [], "--name=Digits"),
        ({"name": "1digits"}, [], "--name=1digits"),
        ({"name": "digits-"}, [], "--name=digits-"),
        ({"name": "a.b"}, [], "--name=a.b"),
        ({"image": "Repo/Image"}, [], "--image=Repo/Image"),
        ({"image": "a b"}, [], "--image=a b"),
        ({"image": "image:"}, [], "--image=image:"),
        ({"workdir": "/runs/a"}, [], "--workdir=/runs/a must be gs://"),
        ({"workdir": "gs://bucket"}, [], "--workdir=gs://bucket must be gs://"),
        ({"namespace": "A"}, [], "--namespace=A"),
        ({"namespace": "a" * 64}, [], "at most 63"),
        ({"service_account": "a" * 254}, [], "at most 253"),
        ({"service_account": "a_b"}, [], "--service_account=a_b"),
        ({"reservation": "p/r"}, [], "--reservation=p/r"),
        ({"reservation": "r", "spot": "true"}, [], "exclude each other"),
        ({"topology": "4x4"}, [], "--topology=4x4"),
        ({"topology": "2x2x1"}, [], "--topology=2x2x1"),
        ({"topology": "square"}, [], "--topology=square"),
        ({"accelerator_type": "v4-8", "topology": "1x2x2"}, [], "--topology=1x2x2"),
        ({"max_restarts": "-1"}, [], "max_restarts"),
        ({"grace_period_seconds": "soon"}, [], "grace_period_seconds"),
        ({"colour": "red"}, [], "colour"),
        ({}, ["--workdir=gs://a/b"], "--workdir belongs before"),
        ({}, ["--tpu=local"], "--tpu=local"),
        ({}, ["--config.data.dir=data/digits"], "`data.dir` is 'data/digits'"),
        ({}, ["--config.model.name=a.keras"], "`model.name` is 'a.keras'; on GKE it"),
        ({}, ["--config.model.initial_weights=a"], "`model.initial_weights` is 'a'"),
        (
            {},
            ["--config.model.trusted_modules=/a.py,b.py"],
            "`model.trusted_modules` is 'b.py'; on GKE it must be an absolute path in",
        ),
        (
            {},
            ["--config.model.trusted_modules=gs://bucket/a.py"],
            "on GKE it must be an absolute path in the image",
        ),
        ({}, ["--config.data.dir=s3://a/b"], "`data.dir` is 's3://a/b'"),
        ({}, ["--config.global_batch_size=66"], "take 64 or 68"),
        ({}, ["--config.sam.micro_batches=32"], "take 128"),
        ({}, ["--config.accumulate_steps=32"], "take 128"),
        ({}, ["--config.data.dir=gs:///data"], "`data.dir` is 'gs:///data'"),
        ({}, ["--config.sam.sync=3"], "(4): take one of [1, 2, 4], or 'global'"),
        ({}, ["--config.runtime.strategy=one"], "`runtime.strategy` is 'one'"),
        (
            {"accelerator_type": "tpu7x-8"},
            ["--config.runtime.strategy=tpu"],
            "TensorFlow does not train on tpu7x-8",
        ),
        ({}, ["--config.sam.ro=1"], "the nearest is `sam.rho`"),
    ],
)
def test_a_mistake_gets_one_line(capfd, flags, trainer, message):
    code, out, err = run(capfd, *trainer, **flags)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_topology_of_other_chips_or_order(capfd):
    for topology in ("4x4x4", "8x4x4", "2x8x8", "04x4x8"):
        code, _, err = run(
            capfd,
            "--config.global_batch_size=1024",
            accelerator_type="v5p-256",
            topology=topology,
            extra=["--experimental_multi_host"],
        )
        assert code == 1
        assert f"--topology={topology}" in err


def test_without_the_mark_of_the_trainers_arguments(capfd):
    assert gke.main(["launch.gke", "--name=a"]) == 1
    assert "No `--`" in capfd.readouterr().err
    assert gke.main(["launch.gke", "--name=a", "more", "--"]) == 1
    assert "'more' is not a flag" in capfd.readouterr().err


def test_help(capfd):
    assert gke.main(["launch.gke", "--help"]) == 0
    assert "]experimental_multi_host" in capfd.readouterr().out


def test_a_bug_ends_with_its_traceback(capfd, monkeypatch):
    monkeypatch.setattr(gke, "training", lambda values, arguments: 1 / 0)
    assert run(capfd)[0] == 70


def test_the_command_as_a_process():
    given = [f"--{name}={value}" for name, value in FLAGS.items()]
    code, lines, stderr = runs.main(*given, "--", *TRAINER, module="launch.gke")
    assert (code, stderr) == (0, "")
    schemas.check(yaml.safe_load("\n".join(lines)))
