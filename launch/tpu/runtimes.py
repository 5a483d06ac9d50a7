"""Which runtime versions (images) of TPU VMs train TensorFlow 2, and with which pins.

A slice of several hosts is driven by one process on its first host and a gRPC server of
TensorFlow's on every host, which only images with `-pod` in their name start; both must
be of one version (tensorflow/tensorflow issue 40622). requirements.lock fits TensorFlow
2.16 alone, so nothing else can be installed here.
"""

import dataclasses
import re

from sam_pod import errors
from sam_pod.machines import accelerators

# tensorflow-tpu 2.16 asks for this libtpu, which only this page has.
LIBTPU = "libtpu==2.16.0rc0"
LIBTPU_PAGE = "https://storage.googleapis.com/libtpu-tf-releases/index.html"
SINGLE_HOST, POD = "tpu-vm-tf-2.16.1-pjrt", "tpu-vm-tf-2.16.1-pod-pjrt"

GOOD, BROKEN, UNREPORTED = "good", "broken", "unreported"
_SUPPORTED = "cloud.google.com/tpu/docs/supported-tpu-versions"
_SEGFAULT = "`import tensorflow` crashes there (tensorflow/tensorflow issue 82208)"
_HANG = "pods hang in connect_to_cluster there (tensorflow/tensorflow issue 93618)"
_TOO_OLD = "it has Keras 2 where this trainer needs Keras 3, from TensorFlow 2.16 on"
_NO_LOCK = "requirements.lock fits TensorFlow 2.16, not this one"


@dataclasses.dataclass(frozen=True)
class Report:
    """What is known of the runtime versions whose name a pattern matches."""

    pattern: str
    verdict: str  # GOOD, BROKEN or UNREPORTED.
    why: str


# The first that matches the whole name counts. GOOD means that users trained on it:
# v2 to v5p in stefan-it/model-garden-lms (v4-32) and Google's own tests, v5e in public
# notes of users; single hosts and pods alike.
TABLE = (
    Report(
        r"tpu-vm-tf-2\.16\.1(-pod)?-pjrt", GOOD, f"users trained on it; {_SUPPORTED}"
    ),
    Report(r"tpu-vm-tf-2\.16\.1(-pod)?-se", UNREPORTED, f"listed in {_SUPPORTED}"),
    Report(r"tpu-vm-tf-2\.17\..*", BROKEN, _SEGFAULT),
    Report(r"tpu-vm-tf-2\.18\.0-pod-(pjrt|se)", BROKEN, _SEGFAULT),
    Report(r"tpu-vm-tf-2\.18\..*", BROKEN, _NO_LOCK),
    Report(r"tpu-vm-tf-2\.19\..*-pod-.*", BROKEN, _HANG),
    Report(r"tpu-vm-tf-2\.(19|[2-9]\d)\..*", BROKEN, _NO_LOCK),
    Report(r"tpu-vm-tf-(1\..*|2\.(\d|1[0-5])\..*)", BROKEN, _TOO_OLD),
    Report(
        r"v2-alpha-.*|tpu-ubuntu2204-base",
        UNREPORTED,
        "Google's tests install TensorFlow 2.18 and newer on these, never 2.16",
    ),
)
_V6E = "TensorFlow never trained on v6e: 2.16 finds no device, 2.18 crashes, 2.19 fails"


def report(version: str) -> Report:
    """Return what is known of a runtime version."""
    for known in TABLE:
        if re.fullmatch(known.pattern, version):
            return known
    return Report(re.escape(version), UNREPORTED, "no report of it was found")


def default(accelerator: accelerators.Accelerator) -> str:
    """Return the runtime version to take for a slice when none is asked for."""
    return POD if accelerator.is_pod else SINGLE_HOST


def check(
    version: str, accelerator: accelerators.Accelerator, *, allow_broken: bool
) -> str:
    """Return a warning about a runtime version, or '' when users trained on it.

    Raises:
        UserError: it cannot work; `allow_broken` lets through what is only reported so.
    """
    _check_fit(version, accelerator)
    known = report(version)
    if accelerator.generation == "v6e":
        known = Report(known.pattern, BROKEN, _V6E)
    if known.verdict == BROKEN and not allow_broken:
        raise errors.UserError(
            f"Runtime {version} on {accelerator.name} is known to be broken: "
            f"{known.why}. Take {_advice(accelerator)}, or --allow_broken_runtime."
        )
    if known.verdict == GOOD:
        return ""
    state = "is known to be broken" if known.verdict == BROKEN else "is untried here"
    return (
        f"Warning: runtime {version} on {accelerator.name} {state}: {known.why}. "
        f"Known good is {_advice(accelerator)}."
    )


def tensorflow_version(version: str) -> str:
    """Return the version of tensorflow-tpu to install: that of the gRPC servers."""
    named = re.match(r"tpu-vm-tf-(\d+\.\d+\.\d+)", version)
    return named.group(1) if named else "2.16.1"


def environment(is_pod: bool) -> dict[str, str]:
    """Return the environment variables of the process that drives the slice.

    They are those of Google's own tests (GoogleCloudPlatform/ml-auto-solutions,
    dags/solutions_team/configs/tensorflow/common.py), but for the ones that choose
    Keras 2. Paths are relative to the project's folder.
    """
    variables = {
        "PYTHONUNBUFFERED": "1",
        "TF_XLA_FLAGS": "--tf_mlir_enable_mlir_bridge=true "
        "--tf_xla_sparse_core_disable_table_stacking=true "
        "--tf_mlir_enable_convert_control_to_data_outputs_pass=true "
        "--tf_mlir_enable_merge_control_flow_pass=true",
    }
    if is_pod:
        # The chips of this host are its gRPC server's.
        return {**variables, "TPU_LOAD_LIBRARY": "0"}
    return {
        **variables,
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": (
            ".venv/lib/python3.10/site-packages/libtpu/libtpu.so"
        ),
    }


def _check_fit(version: str, accelerator: accelerators.Accelerator) -> None:
    has_servers = "-pod" in version
    if accelerator.is_pod and not has_servers:
        raise errors.UserError(
            f"Runtime {version} starts no gRPC servers, which {accelerator.name} with "
            f"its {accelerator.hosts} hosts needs; take {_advice(accelerator)}."
        )
    if has_servers and not accelerator.is_pod:
        raise errors.UserError(
            f"Runtime {version} is for several hosts and {accelerator.name} has one; "
            f"take {_advice(accelerator)}."
        )


def _advice(accelerator: accelerators.Accelerator) -> str:
    if accelerator.generation == "v6e":
        return "another generation, such as v5litepod or v4"
    return default(accelerator)
