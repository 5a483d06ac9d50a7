"""Compile a run for TPU slices with the real TPU compiler, before paying for one.

python -m sam_pod.preflight --config=configs/resnet20.py --topology=v5e:4x4
python -m sam_pod.preflight --config=configs/resnet20.py:sgd --accelerator_type=v4-32 \\
  --config.dtype=bfloat16 --output=report.json --html=report.html
python -m sam_pod.preflight --config=configs/resnet20.py:digits --execute

Compiles exactly the step that `python -m sam_pod.main` would run there, the same step
without SAM, and the evaluation. Prints for each slice what they compute, touch, keep in
memory and exchange, an estimate of their time, and whether all checks pass. Nothing is
contacted and no TPU is needed. It takes minutes a slice, once: compiles are cached.

--members prints what each member of the family costs, exchanges and remembers;
--models=all, or names of networks with commas, what each network takes, and with slices
what memory a step of it needs there. All of main's --config.key=value are taken.
--execute runs the lowered step on virtual devices of this machine's CPU, and compares
it with the whole batch on one.

Exit codes: 0 all checks pass; 1 one fails, or the user's error, one line on stderr; 42
interrupted; 70 a bug, with its traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence

import ml_collections
from absl import flags

from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.preflight import topologies
from sam_pod.process import command, heavy_imports, path_flags

_DEFAULT_EXECUTE_REPLICAS = 4


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    return command.run_at_once(lambda check: _run(argv, check))


def _define() -> flags.FlagValues:
    values = flags.FlagValues()
    _define_slices(values)
    _define_tasks(values)
    for name, meaning in (
        ("output", "JSON to write."),
        ("html", "Page to write."),
        ("hlo", "Folder for the programs."),
    ):
        path_flags.define(name, "", meaning, flag_values=values)
    _define_data(values)
    return values


def _define_slices(values: flags.FlagValues) -> None:
    flags.DEFINE_list(
        "topology", [], "Slices such as v5e:4x4 and v4:2x2x4.", flag_values=values
    )
    flags.DEFINE_list(
        "accelerator_type",
        [],
        "Slices such as v5litepod-16 and v4-32.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "jobs",
        os.cpu_count() or 1,
        "Compiles at once.",
        lower_bound=1,
        flag_values=values,
    )


def _define_tasks(values: flags.FlagValues) -> None:
    """Define what to do other than to compile the steps, and report."""
    flags.DEFINE_bool(
        "find_batch", False, "Find the largest batch that fits.", flag_values=values
    )
    flags.DEFINE_bool(
        "execute",
        False,
        "Run the lowered step on virtual devices, and compare.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "execute_replicas",
        _DEFAULT_EXECUTE_REPLICAS,
        "Virtual devices.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "execute_steps", 3, "Steps to compare.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_bool(
        "members",
        False,
        "Print what each `sam.variant` costs, exchanges and remembers, and end.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "models",
        [],
        "Print what these networks take ('all': each), and end. With slices, what the "
        "config's step needs with each of them.",
        flag_values=values,
    )


def _define_data(values: flags.FlagValues) -> None:
    """Define what describes data that are elsewhere."""
    flags.DEFINE_list(
        "image_shape",
        [],
        "H,W,C of data that is not on this machine.",
        flag_values=values,
    )
    for name in ("num_classes", "train_examples"):
        flags.DEFINE_integer(
            name, 0, "Number in such data.", lower_bound=0, flag_values=values
        )


def _check_read(values: flags.FlagValues) -> None:
    """Refuse what a table that is printed does not read.

    Raises:
        UserError: naming the flags.
    """
    unread = ["output", "html", "hlo", "execute", "find_batch"]
    unread += ["image_shape", "num_classes", "train_examples"]
    if values.members:
        unread += ["topology", "accelerator_type", "models"]
    table = "members" if values.members else "models" if values.models else ""
    given = [f"--{name}" for name in unread if getattr(values, name)]
    if table and given:
        raise errors.UserError(
            f"--{table} prints a table and does not read {', '.join(given)}: leave out "
            "one or the other."
        )


def _run(argv: list[str], check: Callable[[], None]) -> None:
    values = _define()
    rest = command.parse_with_words(values, argv, __doc__, known_only=True)
    _check_read(values)
    if values.members:
        command.set_environment()
        heavy_imports.tensorflow()
        from sam_pod.preflight import members

        print(members.table())
        return
    slices = [*values.topology, *values.accelerator_type]
    targets = list(dict.fromkeys(topologies.parse(text) for text in slices))
    if values.models and not targets:
        _print_models(values.models, check)
        return
    config = command_line.parse([argv[0], *rest])[0].config
    if not targets and not values.execute:
        raise errors.UserError(
            "No slice; give --topology=v5e:4x4 or --accelerator_type=v4-32, or "
            "--execute alone."
        )
    command.set_environment()
    if values.execute:
        count = f"--xla_force_host_platform_device_count={values.execute_replicas}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    if values.models:
        _print_models(values.models, check, config, targets)
        return
    # TensorFlow is imported from here on: a bad flag is refused in a moment.
    heavy_imports.tensorflow()
    from sam_pod.preflight import job

    job.run(
        config,
        targets,
        job.Options(
            find_batch=values.find_batch,
            execute_replicas=values.execute_replicas if values.execute else 0,
            execute_steps=values.execute_steps,
            output=values.output,
            html=values.html,
            hlo=values.hlo,
            num_processes=values.jobs,
            image_shape=tuple(values.image_shape),
            num_classes=values.num_classes,
            train_examples=values.train_examples,
        ),
        check,
    )


def _print_models(
    names: Sequence[str],
    check: Callable[[], None],
    config: ml_collections.ConfigDict | None = None,
    targets: Sequence[topologies.Topology] = (),
) -> None:
    command.set_environment()
    heavy_imports.tensorflow()
    from sam_pod.preflight import models

    names = models.check_names(names)
    for line in models.lines(names, check, config, targets):
        print(line, flush=True)


if __name__ == "__main__":
    command.leave(main(sys.argv))
