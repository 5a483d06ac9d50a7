"""A run is compiled in the environment of the runtime that will execute it."""

import pytest

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.pjrt import environment
from sam_pod.preflight import compiler, runtime, topologies
from tests.preflight.programs import job


def check(strategy, *names):
    config = keys.defaults()
    config.runtime.strategy = strategy
    return runtime.check(config, [topologies.parse(name) for name in names])


@pytest.fixture
def here(monkeypatch):
    """Return a function that makes this environment JAX's, or TensorFlow's."""

    def make(is_jax):
        problem = "" if is_jax else "it has no JAX"
        monkeypatch.setattr(environment, "problem", lambda: problem)

    return make


def test_each_environment_compiles_for_its_own_runtime(here):
    here(is_jax=True)
    assert check("pjrt", "tpu7x-8", "v6e-8", "v5litepod-8") is True
    with pytest.raises(errors.UserError, match=r"add --config\.runtime\."):
        check("auto", "v5litepod-8")
    here(is_jax=False)
    assert check("auto", "v5litepod-8") is False
    with pytest.raises(errors.UserError, match="it has no JAX"):
        check("pjrt", "v5litepod-8")


def test_slices_on_which_tensorflow_does_not_train(here, capsys):
    here(is_jax=False)
    with pytest.raises(errors.UserError, match="does not run on tpu7x:2x2x1; JAX does"):
        check("auto", "tpu7x-8")
    assert check("auto", "v6e-8") is False
    assert "TensorFlow does not train on v6e:2x4" in capsys.readouterr().err


def test_what_jax_runs_is_another_compile(monkeypatch):
    versions = {False: "1.2.3", True: "1.2.3"}
    monkeypatch.setattr(compiler, "version", lambda by_jax=False: versions[by_jax])
    theirs = job()
    ours = compiler.Job(theirs.name, theirs.program, theirs.topology, by_jax=True)
    first = compiler.digest(ours)
    assert first != compiler.digest(theirs)
    versions[True] = "1.2.4"
    assert compiler.digest(ours) != first
