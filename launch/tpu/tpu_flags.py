"""The flags of `python -m launch.tpu`, and what they say together."""

import sys

from absl import flags

from launch.tpu import gcloud, phrases, plan, runtimes, runtimes_of_jax
from launch.workers import restarts
from sam_pod import errors
from sam_pod.machines import accelerators
from sam_pod.process import seconds_flags

_TEXTS = {
    "name": "Name of the slice; one name is one slice.",
    "zone": "Such as us-central2-b.",
    "project": "By default that of gcloud's configuration.",
    "accelerator_type": "Such as v4-32 and v6e-16.",
    "runtime_version": "Image of the hosts; by default one that is known to work.",
    "network": "Passed to gcloud.",
    "subnetwork": "Passed to gcloud.",
    "service_account": "Passed to gcloud; all hosts read and write gs:// as it.",
    "labels": "KEY=VALUE,... passed to gcloud.",
    "valid_until_duration": "How long to queue, such as 6h.",
    "worker": "For ssh: a number, or all.",
    "image_shape": "H,W,C of data in a bucket, which the checks of `up` do not read.",
    "num_classes": "Number of classes of such data.",
    "train_examples": "Number of training examples of such data.",
}
_SWITCHES = {
    "spot": "Cheaper, and taken away at any moment.",
    "reserved": "From your reservation.",
    "queued": "Wait in the queue for capacity.",
    "internal_ips": "No external addresses; run this in the same network, or tunnel.",
    "tunnel_through_iap": "Reach the hosts by Identity-Aware Proxy.",
    "autocheckpoint_enabled": "SIGTERM before maintenance, so that the trainer saves.",
    "allow_broken_runtime": "Take a runtime version that is known to be broken.",
    "down_when_done": "Delete all in the end, however it ends but by an interruption.",
    "dry_run": "Print the commands and run none.",
}


def define() -> flags.FlagValues:
    """Return the flags of the command, with their defaults."""
    values = flags.FlagValues()
    for name, text in _TEXTS.items():
        default = "0" if name == "worker" else ""
        flags.DEFINE_string(name, default, text, flag_values=values)
    for name, text in _SWITCHES.items():
        flags.DEFINE_bool(name, False, text, flag_values=values)
    flags.DEFINE_bool(
        "preflight",
        True,
        "Compile the run for the slice before it is asked for, and check it.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "max_restarts", 10, "In a row, of slice or trainer.", 0, flag_values=values
    )
    for name, default, text in (
        ("poll_seconds", 20.0, "Between two looks at the slice."),
        ("pause_seconds", 10.0, "Before the first restart; doubles to a minute."),
    ):
        seconds_flags.define(name, default, text, values, most=3600.0)
    return values


def place(values: flags.FlagValues) -> phrases.Place:
    """Return where the slice is.

    Raises:
        UserError: a name is missing, or cannot be one.
    """
    project = values.project
    if not project and values.dry_run:
        project = plan.PROJECT
    return phrases.Place(
        values.name,
        values.zone,
        project or gcloud.default_project(),
        values.internal_ips,
        values.tunnel_through_iap,
    )


def accelerator(name: str) -> accelerators.Accelerator:
    """Return the slice of an --accelerator_type.

    Raises:
        UserError: there is none, or Cloud TPU's API has none.
    """
    if not name:
        raise errors.UserError("--accelerator_type is missing; it is like v4-32.")
    found = accelerators.parse(name)
    if found.generation == "tpu7x":
        # Says the first line of docs.cloud.google.com/tpu/docs/v6e-training.
        raise errors.UserError(
            f"--accelerator_type={name}: Cloud TPU's API, by which this command makes "
            "slices, has no TPU7x; python -m launch.gke prints a JobSet for it."
        )
    return found


def request(
    values: flags.FlagValues, wanted: accelerators.Accelerator, *, by_jax: bool
) -> phrases.SliceRequest:
    """Return what is asked for, after a warning where one is due.

    Args:
        values: The flags.
        wanted: The slice.
        by_jax: Whether JAX executes the steps there.

    Raises:
        UserError: it cannot be, or cannot work.
    """
    known = runtimes_of_jax if by_jax else runtimes
    version = values.runtime_version or known.default(wanted)
    warning = known.check(version, wanted, allow_broken=values.allow_broken_runtime)
    if warning:
        print(warning, file=sys.stderr)
    if values.spot and values.reserved:
        raise errors.UserError("--spot and --reserved exclude each other; take one.")
    if values.valid_until_duration and not values.queued:
        raise errors.UserError("--valid_until_duration goes with --queued.")
    passed = [f"--{name}" for name in ("spot", "reserved") if values[name].value]
    passed += ["--internal-ips"] if values.internal_ips else []
    for name in (
        "network",
        "subnetwork",
        "service_account",
        "labels",
        "valid_until_duration",
    ):
        value = values[name].value
        passed += [f"--{name.replace('_', '-')}={value}"] if value else []
    return phrases.SliceRequest(
        wanted.name,
        version,
        values.queued,
        values.autocheckpoint_enabled,
        tuple(passed),
    )


def data(values: flags.FlagValues) -> list[str]:
    """Return the flags that describe data in a bucket, for sam_pod.preflight."""
    names = ("image_shape", "num_classes", "train_examples")
    return [f"--{name}={values[name].value}" for name in names if values[name].value]


def rule(values: flags.FlagValues) -> restarts.Rule:
    """Return how often, and after which pauses, a run starts again."""
    return restarts.Rule(values.max_restarts, first_pause_seconds=values.pause_seconds)
