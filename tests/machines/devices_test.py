"""An accelerator that is there and not used is said in one line."""

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import devices, drivers, runtime

CARD = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0a1b2c)"


@pytest.fixture
def has_gpu(tmp_path, monkeypatch):
    """Put a stand-in of nvidia-smi on the path; return what sets what it prints."""
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow uses a GPU here")
    program = tmp_path / "nvidia-smi"

    def prints(text, code=0):
        program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{text}\nEOF\nexit {code}\n")
        program.chmod(0o755)

    for name in drivers._HIDES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    prints(CARD)
    return prints


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("kind", ["one", "multiworker"])
def test_a_gpu_that_cannot_be_used_is_said_loudly(has_gpu, caplog, kind):
    has_gpu(f"{CARD}\n{CARD.replace('0:', '1:')}")
    devices.check(kind, cpu_replicas=1)
    (line,) = lines(caplog)
    assert line.startswith(
        "THIS RUN IS ON THE CPU. nvidia-smi lists GPU 0: NVIDIA H100"
    )
    assert "and 1 more" in line and "UUID" not in line
    assert f"'tensorflow[and-cuda]=={tf.__version__}'" in line
    assert caplog.records[0].levelname == "WARNING"


def test_the_log_of_a_run_says_so(has_gpu, caplog):
    runtime.connect("auto", deterministic=False)
    assert any("THIS RUN IS ON THE CPU" in line for line in lines(caplog))


def test_a_strategy_that_asks_for_gpus_is_refused(has_gpu):
    with pytest.raises(errors.UserError, match=r"all GPUs\. .*H100") as raised:
        runtime.connect("mirrored", deterministic=False)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["", "-1", " "])
@pytest.mark.parametrize("name", drivers._HIDES)
def test_a_gpu_that_the_user_hides_is_said_mildly(
    has_gpu, caplog, monkeypatch, name, value
):
    caplog.set_level("INFO", "absl")
    monkeypatch.setenv(name, value)
    devices.check("mirrored", cpu_replicas=1)
    (record,) = caplog.records
    assert f"{name} hides it" in record.getMessage()
    assert record.levelname == "INFO"


def test_who_asks_for_the_cpu_is_not_told_of_a_gpu(has_gpu, caplog):
    caplog.set_level("INFO", "absl")
    devices.check("mirrored", cpu_replicas=4)
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NVIDIA-SMI has failed because it couldn't talk to the driver.", 9),
        ("No devices were found", 6),
        ("", 0),
    ],
)
def test_a_tool_that_lists_nothing_is_no_gpu(has_gpu, caplog, monkeypatch, text, code):
    has_gpu(text, code)
    monkeypatch.setattr(drivers.glob, "glob", lambda pattern: [])
    devices.check("mirrored", cpu_replicas=1)
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("there", "content", "words"),
    [
        ("/proc/driver/nvidia/gpus/0000:01:00.0", "", "An NVIDIA GPU is here (/proc"),
        ("/dev/nvidia0", "", "An NVIDIA GPU is here (/dev/nvidia0)"),
        ("/sys/class/kfd/kfd/topology/nodes/1/gpu_id", "51110", "tensorflow-rocm"),
        ("/sys/class/kfd/kfd/topology/nodes/0/gpu_id", "0", ""),
        ("/dev/accel0", "", "give --tpu=local"),
        ("/sys/bus/pci/devices/0000:00:05.0/vendor", "0x10de", ""),
    ],
)
def test_devices_are_found_without_a_tool(
    caplog, monkeypatch, tmp_path, there, content, words
):
    import fnmatch

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        drivers.glob,
        "glob",
        lambda pattern: [there] if fnmatch.fnmatch(there, pattern) else [],
    )
    monkeypatch.setattr(drivers, "_read", lambda path: content)
    for name in drivers._HIDES:
        monkeypatch.delenv(name, raising=False)
    devices.check("one", cpu_replicas=1)
    assert len(lines(caplog)) == bool(words)
    assert words in "".join(lines(caplog))
