"""Refuse, before anything costs money, what the trainer would refuse on the slice."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

import ml_collections

from launch import checkout, runtime
from sam_pod import errors
from sam_pod.config import batch, command_line
from sam_pod.machines import accelerators
from sam_pod.models import model_file, own_code
from sam_pod.process import path_flags

_GRACE_SECONDS = 10.0


def trainer_arguments(
    arguments: Sequence[str], accelerator: accelerators.Accelerator
) -> tuple[str, ...]:
    """Return the trainer's arguments as they hold on the slice.

    Raises:
        UserError: the trainer would refuse them there.
        SystemExit: after showing the trainer's help.
    """
    values, recipe = command_line.parse(["sam_pod.main", *arguments], here=False)
    if values.tpu:
        raise errors.UserError(
            f"--tpu={values.tpu} is not needed: the launcher names the slice's hosts."
        )
    _check_workdir(values.workdir, accelerator)
    _check_reach("config.data.dir", values.config.data.dir, accelerator)
    for what, place in (
        ("--workdir", values.workdir),
        ("`data.dir`", values.config.data.dir),
    ):
        if place.startswith("~"):
            print(f"{what} is {place}: of the home folder there.", file=sys.stderr)
    by_jax = check_replicas(values.config, accelerator)
    path, mark, variant = recipe.partition(":")
    _, rest = command_line.split_recipe(list(arguments))
    rest += _model_there(values.config.model.name)
    rest += _code_there(values.config.model.trusted_modules)
    rest += _weights_there(values.config.model.initial_weights)
    rest += jax_words(values.config) if by_jax else []
    return (f"--config={_shipped('--config', path)}{mark}{variant}", *rest)


def is_jax(arguments: Sequence[str], accelerator: accelerators.Accelerator) -> bool:
    """Return whether JAX executes the steps of a run with these arguments.

    Raises:
        UserError: they are no trainer's, or not for this slice.
        SystemExit: after showing the trainer's help.
    """
    if not arguments:
        return runtime.is_jax("auto", accelerator)
    values, _ = command_line.parse(["sam_pod.main", *arguments], here=False)
    return runtime.is_jax(values.config.runtime.strategy, accelerator)


def jax_words(config: ml_collections.ConfigDict) -> list[str]:
    """Return the flag that has JAX execute the steps; none where the config says so."""
    return [] if config.runtime.strategy == "pjrt" else [runtime.JAX_FLAG]


def compile_words(
    arguments: Sequence[str],
    accelerator: accelerators.Accelerator,
    data: Sequence[str] = (),
    *,
    by_jax: bool = False,
) -> list[str]:
    """Return the command that compiles a run for a slice, and checks what it finds.

    Args:
        arguments: The trainer's arguments as they hold on this machine.
        accelerator: The slice's accelerator type.
        data: Flags that describe data which this machine does not see.
        by_jax: Whether JAX executes the steps, which another environment compiles.
    """
    where = f"--accelerator_type={accelerator.name}"
    python, added = sys.executable, []
    if by_jax:
        added = [runtime.JAX_FLAG]
        own = checkout.ROOT / ".venv-pjrt/bin/python"
        python = str(own) if own.exists() else python
    return [python, "-m", "sam_pod.preflight", where, *data, *arguments, *added]


def compile_run(words: Sequence[str]) -> int:
    """Run what `compile_words` returned, and return its exit code.

    The command prints what is wrong. An interrupt of this process reaches it, too, and
    this process waits for it: it has processes and files of its own to clean up.
    """
    path = [str(checkout.ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    process = subprocess.Popen(words, env=environment)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        process.kill()
        process.wait()
        raise


def is_remote(path: str) -> bool:
    """Return whether every host reads the same at this path."""
    return re.fullmatch(r"gs://[^/]+(/.*)?", path, re.DOTALL) is not None


def check_replicas(
    config: ml_collections.ConfigDict, accelerator: accelerators.Accelerator
) -> bool:
    """Refuse a config that does not fit a slice; return whether JAX executes it there.

    Raises:
        UserError: with the key, and what would fit.
    """
    by_jax = runtime.is_jax(config.runtime.strategy, accelerator)
    num_replicas = accelerator.replicas
    batch.per_replica_batch_size(
        config.global_batch_size,
        num_replicas,
        config.accumulate_steps * config.sam.micro_batches,
    )
    if config.sam.sync not in ("global", "replica", "norm"):
        # Only now: TensorFlow takes seconds to import, and talks.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from sam_pod.machines import groups

        groups.size(config.sam.sync, num_replicas)
    return by_jax


def _check_workdir(workdir: str, accelerator: accelerators.Accelerator) -> None:
    if not workdir:
        raise errors.UserError(
            "No --workdir; give --workdir=gs://BUCKET/FOLDER, so that the run can be "
            "continued on another slice."
        )
    _check_bucket("--workdir", workdir)
    if not is_remote(workdir) and accelerator.is_pod:
        raise errors.UserError(
            f"--workdir={workdir} is not on gs://, and {accelerator.name} has "
            f"{accelerator.hosts} hosts that all write there; give "
            "--workdir=gs://BUCKET/FOLDER."
        )


def _check_bucket(flag: str, path: str) -> None:
    if path.startswith("gs://") and not is_remote(path):
        raise errors.UserError(
            f"{flag}={path} names no bucket; give {flag}=gs://BUCKET/FOLDER."
        )


def _check_reach(key: str, path: str, accelerator: accelerators.Accelerator) -> None:
    _check_bucket(f"--{key}", path)
    if accelerator.is_pod and not is_remote(path):
        raise errors.UserError(
            f"`{key.removeprefix('config.')}` is {path!r}, which the "
            f"{accelerator.hosts} hosts of {accelerator.name} cannot read; copy the "
            f"prepared data to a bucket and give --{key}=gs://BUCKET/FOLDER."
        )


def _model_there(name: str) -> list[str]:
    """Return the flag that names a model's file on the slice; none for a name."""
    if not model_file.is_path(name) or is_remote(name):
        return []
    inside = _shipped("--config.model.name", name)
    model_file.read(name)
    return [] if inside == name else [f"--config.model.name={inside}"]


def _code_there(names: str) -> list[str]:
    """Return the flag that names the user's modules on the slice; none if unchanged.

    A module that is imported by its name may be installed there.
    """
    flag = "--config.model.trusted_modules"
    given = own_code.parse(names)
    inside = [_shipped(flag, n) if own_code.is_file(n) else n for n in given]
    for name in given:
        if own_code.is_file(name):
            own_code.location(name)
        elif name != own_code.LAMBDA and name.split(".")[0] not in checkout.SHIPPED:
            line = f"`model.trusted_modules` names {name}: Python must find it there."
            print(line, file=sys.stderr)
    return [] if inside == given else [f"{flag}={','.join(inside)}"]


def _weights_there(path: str) -> list[str]:
    """Return the flag that names a run's first weights on the slice.

    What is not on this machine may be on the slice.
    """
    flag = "--config.model.initial_weights"
    if not path or is_remote(path) or not model_file.is_there(path):
        return []
    try:
        inside = _shipped(flag, path)
    except errors.UserError as error:
        raise errors.UserError(
            f"{flag}={path} is on this machine, and not shipped to the slice: copy it "
            f"to a bucket, and give {flag}=gs://BUCKET/…, or move it to "
            f"{checkout.ROOT / 'configs'}."
        ) from error
    return [] if inside == path else [f"{flag}={inside}"]


def _shipped(flag: str, path: str) -> str:
    """Return a file's path in the project's folder on the slice."""
    # The file to ship is on this machine, and so is a `~` in its name.
    try:
        here = pathlib.Path(os.path.abspath(path_flags.expand(path)))
    except ValueError as error:
        raise errors.UserError(f"{flag}={path}: {error}.") from error
    if here.is_relative_to(checkout.ROOT):
        inside = here.relative_to(checkout.ROOT)
        if inside.parts[0] in checkout.SHIPPED:
            return str(inside)
    raise errors.UserError(
        f"{flag}={path} is not shipped to the slice: move the file to "
        f"{checkout.ROOT / 'configs'}."
    )
