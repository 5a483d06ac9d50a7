"""The runtime versions that were reported, against the reports."""

import subprocess
import sys

import pytest

from launch.tpu import runtimes
from sam_pod import errors
from sam_pod.machines import accelerators
from tests.launch.stand_in import ROOT


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("tpu-vm-tf-2.16.1-pod-pjrt", runtimes.GOOD),
        ("tpu-vm-tf-2.16.1-pjrt", runtimes.GOOD),
        ("tpu-vm-tf-2.16.1-pod-se", runtimes.UNREPORTED),
        ("tpu-vm-tf-2.17.0-pod-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.17.1-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.18.0-pod-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.18.0-pod-se", runtimes.BROKEN),
        ("tpu-vm-tf-2.18.0-pod-pjrt-v5e-and-v6", runtimes.BROKEN),
        ("tpu-vm-tf-2.19.0-pod-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.20.0-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.15.1-pod-pjrt", runtimes.BROKEN),
        ("tpu-vm-tf-2.9.2-pod", runtimes.BROKEN),
        ("v2-alpha-tpuv5-lite", runtimes.UNREPORTED),
        ("tpu-ubuntu2204-base", runtimes.UNREPORTED),
        ("tpu-vm-tf-2.16.2-pod-pjrt", runtimes.UNREPORTED),
    ],
)
def test_the_table_says_what_was_reported(version, verdict):
    assert runtimes.report(version).verdict == verdict


@pytest.mark.parametrize("name", ["v2-8", "v3-32", "v4-8", "v4-32", "v5litepod-16"])
def test_the_default_is_known_good_and_its_tensorflow_is_locked(name):
    accelerator = accelerators.parse(name)
    version = runtimes.default(accelerator)
    assert runtimes.check(version, accelerator, allow_broken=False) == ""
    assert ("-pod-" in version) == accelerator.is_pod
    lock = (ROOT / "launch/remote/tensorflow-tpu.lock").read_text()
    assert f"tensorflow-tpu=={runtimes.tensorflow_version(version)} " in lock
    # It needs the versions of requirements.lock, which are TensorFlow 2.16's.
    assert "\ntensorflow==2.16." in (ROOT / "requirements.lock").read_text()


def test_v6e_is_broken_with_every_version():
    accelerator = accelerators.parse("v6e-16")
    for version in (runtimes.POD, "tpu-vm-tf-2.19.0-pod-pjrt"):
        with pytest.raises(errors.UserError, match="never trained on v6e"):
            runtimes.check(version, accelerator, allow_broken=False)
        warning = runtimes.check(version, accelerator, allow_broken=True)
        assert "known to be broken" in warning and "another generation" in warning


@pytest.mark.parametrize(("name", "fits"), [("v4-8", "-pjrt"), ("v4-32", "-pod-pjrt")])
def test_a_version_that_does_not_fit_is_not_let_through(name, fits):
    other = {"-pjrt": "-pod-pjrt", "-pod-pjrt": "-pjrt"}[fits]
    accelerator = accelerators.parse(name)
    with pytest.raises(errors.UserError, match=f"take tpu-vm-tf-2.16.1{fits}"):
        runtimes.check(f"tpu-vm-tf-2.16.1{other}", accelerator, allow_broken=True)


@pytest.mark.slow
def test_the_variables_are_such_that_tensorflow_starts_with_them():
    # It ends a process at an XLA flag that it does not know.
    variables = runtimes.environment(is_pod=True)
    code = (
        "import tensorflow as tf; tf.function(lambda: tf.ones(1), jit_compile=True)()"
    )
    python = [f"{key}={value}" for key, value in variables.items()]
    done = subprocess.run(
        ["env", *python, "TF_CPP_MIN_LOG_LEVEL=3", sys.executable, "-c", code],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_one_process_owns_the_chips():
    assert runtimes.environment(is_pod=True)["TPU_LOAD_LIBRARY"] == "0"
    alone = runtimes.environment(is_pod=False)
    assert "TPU_LOAD_LIBRARY" not in alone
    assert alone["TF_PLUGGABLE_DEVICE_LIBRARY_PATH"].startswith(".venv/lib/python3.10/")
