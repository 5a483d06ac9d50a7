"""A wrong environment is named in a line, with the lock that makes the right one."""

import importlib.metadata
import importlib.util

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.machines import runtime
from sam_pod.pjrt import environment
from tests import runs
from tests.pjrt import needs_jax

TWO = '{"cluster": {"worker": ["a:1", "b:1"]}}'


def installed(monkeypatch, versions):
    def version(package):
        if package not in versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"jax": "0.4.34", "tensorflow": "2.16.2"}, "jax 0.4.34 and tensorflow 2.16.2"),
        ({"jax": "0.10.2", "tensorflow": "2.9.0"}, "jax 0.10.2 and tensorflow 2.9.0"),
        ({"tensorflow-cpu": "2.21.0"}, "jax none and tensorflow 2.21.0"),
    ],
)
def test_a_wrong_environment_is_named_with_the_lock_and_the_command(
    monkeypatch, versions, said
):
    installed(monkeypatch, versions)
    with pytest.raises(errors.UserError) as caught:
        environment.check()
    line = str(caught.value)
    assert f"this environment has {said}" in line
    assert "needs jax 0.10 and tensorflow 2.21 or newer" in line
    assert "bash launch/local.sh --runtime=pjrt" in line
    assert environment.LOCK in line and (runs.ROOT / environment.LOCK).is_file()


@pytest.mark.parametrize("tensorflow", ["tensorflow", "tensorflow-cpu"])
def test_the_right_environment_passes(monkeypatch, tensorflow):
    installed(monkeypatch, {"jax": "0.10.2", tensorflow: "2.21.0"})
    environment.check()


def test_the_lock_has_the_versions_that_are_asked_for(monkeypatch):
    lines = (runs.ROOT / environment.LOCK).read_text().splitlines()
    pinned = dict(line.split()[0].split("==") for line in lines if "==" in line)
    installed(monkeypatch, pinned)
    environment.check()


@pytest.mark.skipif(not environment.problem(), reason="this is the right environment")
def test_the_command_refuses_the_wrong_environment_with_one_line_and_1(tmp_path):
    code, _, stderr = runs.main(
        "--config=configs/resnet20.py:digits",
        "--config.runtime.strategy=pjrt",
        f"--workdir={tmp_path / 'run'}",
    )
    assert code == 1
    assert stderr == f"Error: {environment.problem()}\n"
    assert not (tmp_path / "run").exists()


def test_other_commands_ask_for_a_strategy_of_tensorflow():
    with pytest.raises(errors.UserError, match=r"'pjrt', by which sam_pod\.main alone"):
        runtime.connect("pjrt")


@needs_jax
def test_a_tpu_that_tensorflow_would_contact_is_refused():
    from sam_pod.pjrt import connect

    with pytest.raises(errors.UserError, match="without --tpu"):
        connect.connect(config_lib.defaults(), "local")


@pytest.mark.parametrize(
    ("variables", "cpu_replicas", "libtpu", "expected"),
    [
        ({}, 1, False, True),
        ({"TF_CONFIG": TWO}, 2, False, False),
        ({}, 1, True, False),
        ({}, 4, True, True),
        ({"JAX_PLATFORMS": "cpu"}, 1, True, True),
        ({"JAX_PLATFORMS": "tpu,cpu"}, 1, True, False),
    ],
)
def test_a_host_with_libtpu_may_have_others_beside_it(
    monkeypatch, variables, cpu_replicas, libtpu, expected
):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: libtpu or None)
    config = config_lib.defaults()
    config.runtime.cpu_replicas = cpu_replicas
    assert environment.is_alone(config) == expected
