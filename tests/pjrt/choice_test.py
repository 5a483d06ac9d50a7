"""Where the config leaves it open, what each library could drive decides who steps."""

import importlib.util
import os
import subprocess
import sys

import pytest

from sam_pod.config import keys as config_lib
from sam_pod.machines import drivers
from sam_pod.pjrt import choice
from tests import runs
from tests.pjrt import needs_jax
from tests.pjrt.environment_test import installed

TPU, GPU = "TPU", "NVIDIA GPU"


@pytest.mark.parametrize(
    ("there", "jax", "tensorflow", "expected"),
    [
        ("", f"{TPU},{GPU}", "", ""),
        (TPU, TPU, "", TPU),
        (TPU, GPU, "", ""),
        (GPU, GPU, "", GPU),
        (GPU, GPU, GPU, ""),
        (GPU, "", "", ""),
        (f"{TPU},{GPU}", TPU, GPU, ""),
    ],
)
def test_jax_steps_where_it_alone_can_drive_what_is_there(
    there, jax, tensorflow, expected
):
    kinds = (frozenset(filter(None, k.split(","))) for k in (there, jax, tensorflow))
    assert choice.only_jaxs(choice.Seen(*kinds)) == expected


@pytest.fixture
def tpu_vm(monkeypatch):
    """Make this a TPU VM with the environment that the locks make for one."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    installed(monkeypatch, {"jax": "0.10.2", "tensorflow-cpu": "2.21.0"})
    monkeypatch.setattr(drivers, "is_a_tpu_here", lambda: True)
    monkeypatch.setattr(drivers, "gpus", lambda: "")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name if name == "libtpu" else None
    )


def asked(strategy="auto", **more):
    config = config_lib.defaults()
    config.runtime.update(strategy=strategy, **more)
    return config


def test_auto_takes_jax_on_a_tpu_vm_and_says_so_in_one_line(tpu_vm, caplog):
    with caplog.at_level("INFO", logger="absl"):
        assert choice.by_jax(asked(), "")
    (line,) = caplog.messages
    assert line == (
        "`runtime.strategy` 'auto' is 'pjrt': JAX 0.10.2 can drive the TPU of this "
        "machine, and TensorFlow cannot."
    )


@pytest.mark.parametrize(
    ("config", "address", "variables"),
    [
        (asked("one"), "", {}),
        (asked("auto", cpu_replicas=4), "", {}),
        (asked(), "local", {}),
        (asked(), "", {"JAX_PLATFORMS": "cpu"}),
        (asked(), "", {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}),
    ],
)
def test_who_asks_for_something_else_gets_it(
    tpu_vm, caplog, monkeypatch, config, address, variables
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO", logger="absl"):
        assert not choice.by_jax(config, address)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("versions", "hidden", "expected"),
    [
        ({"jax": "0.10.2", "tensorflow-cpu": "2.21.0"}, "", True),
        ({"jax": "0.10.2", "tensorflow-cpu": "2.21.0"}, "-1", False),
        ({"jax": "0.10.2", "tensorflow": "2.21.0"}, "", False),
        ({"jax": "0.4.34", "tensorflow": "2.16.2"}, "", False),
    ],
)
def test_auto_takes_jax_for_a_gpu_that_only_it_is_built_for(
    tpu_vm, monkeypatch, versions, hidden, expected
):
    installed(monkeypatch, versions)
    monkeypatch.setattr(drivers, "is_a_tpu_here", lambda: False)
    monkeypatch.setattr(drivers, "gpus", lambda: "nvidia-smi lists GPU 0: NVIDIA H200")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: name if name == "jax_cuda12_plugin" else None,
    )
    for name in drivers._HIDES:
        monkeypatch.setenv(name, hidden) if hidden else monkeypatch.delenv(name, False)
    assert choice.by_jax(asked(), "") == expected


def test_the_choice_imports_neither_jax_nor_tensorflow():
    code = """
import sys
from sam_pod.config import keys
from sam_pod.pjrt import choice
config = keys.defaults()
assert choice.see().tensorflow is not None
assert not choice.by_jax(config, "")
assert not {"jax", "tensorflow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, check=True)


@needs_jax
def test_a_run_that_auto_gives_to_jax_is_loud_where_that_finds_no_gpu(tmp_path):
    """A driver's tool that lists one, and a plugin that is not whole."""
    recipe = runs.write_recipe(
        tmp_path / "recipe.py", runs.small_config(tmp_path, num_epochs=1)
    )
    (tmp_path / "jax_cuda12_plugin.py").write_text("")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    code, lines, stderr = runs.main(
        f"--config={recipe}",
        f"--workdir={tmp_path / 'run'}",
        environment={
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{runs.ROOT}{os.pathsep}{tmp_path}",
            "JAX_PLATFORMS": "",
            "XLA_FLAGS": "",
        },
    )
    assert code == 0, stderr
    said = "\n".join(lines)
    assert "'auto' is 'pjrt': JAX" in said and "the NVIDIA GPU of this machine" in said
    assert "THIS RUN IS ON THE CPU. nvidia-smi lists GPU 0: NVIDIA H200" in said
    assert "bash launch/local.sh --runtime=pjrt-cuda" in said
    assert runs.result(tmp_path / "run")["executed_by"] == "JAX"
