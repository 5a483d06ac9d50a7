"""Print a JobSet that trains on a TPU slice of GKE; nothing is sent anywhere.

python -m launch.gke --name=digits --accelerator_type=v5litepod-4 --image=IMAGE \\
  --workdir=gs://BUCKET/digits -- --config=configs/resnet20.py:digits \\
  --config.data.dir=gs://BUCKET/data | kubectl apply -f -

What follows `--` goes to sam_pod.main, checked here and unchanged. The image needs
this project in its working directory, tensorflow-tpu in place of tensorflow, and the
recipe at the path that --config names. The cluster needs JobSet 0.6 or newer.

On v6e and TPU7x, and elsewhere with --config.runtime.strategy=pjrt, JAX executes the
steps, and every pod runs the trainer: the image needs what requirements-pjrt.lock and
sam_pod/pjrt/libtpu.lock say instead.

--workdir and `data.dir` are on gs://, since a pod may start again on any node, and so
are a model's file and initial weights. An absolute path of these, or of a file in
`model.trusted_modules`, gets a warning: the image must hold what is there.

The pods start again after exit code 42 and after deaths by SIGTERM, SIGKILL, SIGABRT,
SIGBUS and SIGSEGV, --max_restarts times in all; a node that is preempted or maintained
costs no restart on a single host. After any other code the JobSet has failed for good.
On Spot, GKE gives a pod 15 seconds of --grace_period_seconds unless its node pool says
otherwise.

With TensorFlow's own runtime slices of several hosts are experimental: every pod runs
its gRPC server (port 8470, open to the cluster's network), the first also the trainer.

Exit codes: 0 printed; 1 the user's error, one line on stderr; 70 a bug.
"""

import dataclasses
import math
import re
import sys
from collections.abc import Sequence

import yaml
from absl import flags

from launch import checks, runtime
from launch.gke import jobset, paths
from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.machines import accelerators
from sam_pod.process import command

_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
# From github.com/distribution/reference, without a digest's other algorithms.
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"([A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]+)?/)?{_PART}(/{_PART})*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_LONGEST_NAME = 63


def _flags() -> flags.FlagValues:
    values = flags.FlagValues()
    default = {
        field.name: field.default for field in dataclasses.fields(jobset.Training)
    }
    for name, text in {
        "name": "Name of the JobSet.",
        "accelerator_type": "Such as v5litepod-4, v6e-16 and tpu7x-8.",
        "image": "The container's, such as REGION-docker.pkg.dev/PROJECT/REPO/NAME:1.",
        "workdir": "gs://BUCKET/FOLDER of the run.",
        "topology": "Such as 4x4x8; by default the usual one.",
        "reservation": "Name of a reservation of TPUs.",
        "namespace": "Namespace of the JobSet; by default kubectl's.",
        "service_account": "Kubernetes' account, with rights on the buckets.",
    }.items():
        flags.DEFINE_string(name, "", text, flag_values=values)
    flags.DEFINE_bool("spot", False, "Use Spot nodes.", flag_values=values)
    flags.DEFINE_bool(
        "experimental_multi_host",
        False,
        "Allow a slice of several hosts, on which TensorFlow has not been seen to run "
        "in GKE.",
        flag_values=values,
    )
    for name, text in {
        "max_restarts": "Restarts of the JobSet in all.",
        "grace_period_seconds": "Seconds from SIGTERM to SIGKILL, to save in.",
    }.items():
        flags.DEFINE_integer(name, default[name], text, 0, flag_values=values)
    return values


def training(
    values: flags.FlagValues, arguments: Sequence[str]
) -> tuple[jobset.Training, list[str]]:
    """Return what the command line asks for, and warnings.

    Raises:
        UserError: GKE or the trainer would refuse it.
    """
    command.require(values, "name", "accelerator_type", "image", "workdir")
    accelerator = accelerators.parse(values.accelerator_type)
    _check_accelerator(accelerator)
    _check_names(values, accelerator.hosts)
    if not re.fullmatch(r"gs://[-_.a-z0-9]+/.+", values.workdir):
        raise errors.UserError(
            f"--workdir={values.workdir} must be gs://BUCKET/FOLDER: a pod may start "
            "again on another node."
        )
    parsed, recipe = command_line.parse(["sam_pod.main", *arguments], here=False)
    _check_arguments(parsed)
    paths.check_homes(parsed.config, recipe)
    by_jax = checks.check_replicas(parsed.config, accelerator)
    _check_hosts(accelerator, values.experimental_multi_host or by_jax)
    warnings = paths.check_reach(parsed.config)
    words = (*arguments, f"--workdir={values.workdir}")
    if by_jax:
        warnings.append(f"{runtime.UNSEEN}.")
        words += tuple(checks.jax_words(parsed.config))
    return (
        jobset.Training(
            name=values.name,
            accelerator=accelerator,
            topology=_topology(accelerator, values.topology),
            image=values.image,
            arguments=words,
            by_jax=by_jax,
            namespace=values.namespace,
            service_account=values.service_account,
            spot=values.spot,
            reservation=values.reservation,
            max_restarts=values.max_restarts,
            grace_period_seconds=values.grace_period_seconds,
        ),
        warnings,
    )


def _check_accelerator(accelerator: accelerators.Accelerator) -> None:
    if not jobset.is_offered(accelerator):
        raise errors.UserError(
            f"GKE has no {accelerator.name}; it has v3, v4, v5litepod, v5p, v6e and "
            "tpu7x."
        )


def _check_hosts(accelerator: accelerators.Accelerator, allow_multi_host: bool) -> None:
    if accelerator.is_pod and not allow_multi_host:
        raise errors.UserError(
            f"{accelerator.name} has {accelerator.hosts} hosts, which is experimental "
            "on GKE: take a slice of one host, or add --experimental_multi_host."
        )


def _check_names(values: flags.FlagValues, hosts: int) -> None:
    if not re.fullmatch(_LABEL, values.name):
        raise errors.UserError(
            f"--name={values.name} must be lower-case letters, digits and hyphens, "
            "from a letter to a letter or digit."
        )
    spare = _LONGEST_NAME - len(jobset.longest_pod_name("", hosts))
    if len(values.name) > spare:
        raise errors.UserError(
            f"--name={values.name} has {len(values.name)} characters; with more than "
            f"{spare}, names of its pods would have more than {_LONGEST_NAME}."
        )
    for name, longest in (("namespace", 63), ("service_account", 253)):
        text = values[name].value
        dotted = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
        if name == "service_account":
            dotted = rf"{dotted}(\.{dotted})*"
        if text and (len(text) > longest or not re.fullmatch(dotted, text)):
            raise errors.UserError(
                f"--{name}={text} is not a name in Kubernetes: lower-case letters, "
                f"digits and hyphens, at most {longest}."
            )
    if values.reservation and values.spot:
        raise errors.UserError("--spot and --reservation exclude each other: drop one.")
    if values.reservation and (
        len(values.reservation) > 63 or not re.fullmatch(_LABEL, values.reservation)
    ):
        raise errors.UserError(
            f"--reservation={values.reservation} must be a reservation's bare name, "
            "without its project."
        )
    if not re.fullmatch(_IMAGE, values.image, re.ASCII):
        raise errors.UserError(
            f"--image={values.image} is not the name of a container image, such as "
            "us-docker.pkg.dev/PROJECT/REPO/sam_pod:1."
        )


def _topology(accelerator: accelerators.Accelerator, wanted: str) -> str:
    """Return the wanted topology if the slice can have it, or its usual one."""
    usual = accelerator.topology
    if wanted in ("", usual):
        return usual
    sides = [int(side) for side in wanted.split("x") if side.isdecimal()]
    is_possible = (
        "x".join(map(str, sides)) == wanted
        and len(sides) == usual.count("x") + 1 == 3
        and math.prod(sides) == accelerator.chips
        and sides == sorted(sides)
        and all(side % 4 == 0 for side in sides)
    )
    if not is_possible:
        raise errors.UserError(
            f"--topology={wanted} is none of {accelerator.name}, which has "
            f"{accelerator.chips} chips; take {usual}, or leave it out. (On v4, v5p "
            "and tpu7x from 64 chips: three rising multiples of 4.)"
        )
    return wanted


def _check_arguments(parsed: flags.FlagValues) -> None:
    if parsed.workdir:
        raise errors.UserError("--workdir belongs before the `--`, and only there.")
    if parsed.tpu:
        raise errors.UserError(
            f"--tpu={parsed.tpu} is chosen by this command: drop it."
        )


def text(training: jobset.Training) -> str:
    """Return the manifest as YAML, behind a comment that says what it is."""
    slice_ = training.accelerator
    lines = [f"# sam_pod on {slice_.name}: {slice_.hosts} host(s)."]
    if slice_.is_pod and not training.by_jax:
        lines.append(
            "# Experimental: TensorFlow has not yet been seen on several hosts of GKE."
        )
    # A line for each argument, however long.
    document = yaml.safe_dump(
        jobset.manifest(training), sort_keys=False, allow_unicode=True, width=math.inf
    )
    return "\n".join([*lines, document])


def _run(argv: list[str]) -> int:
    values = _flags()
    ours, rest = command.split_at_mark(argv)
    command.parse(values, ours, __doc__)
    if rest is None:
        raise errors.UserError(
            "No `--`; the trainer's arguments follow it: ... -- "
            "--config=configs/resnet20.py:digits"
        )
    wanted, warnings = training(values, rest)
    for warning in warnings:
        print("Warning:", warning, file=sys.stderr)
    print(text(wanted), end="")
    return 0


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    return command.run(lambda: _run(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
