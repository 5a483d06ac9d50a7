"""Compare: run what a study lacks, and report means, intervals and differences.

python -m sam_pod.study --study=configs/studies/digits_noise.py --output=studies/a
python -m sam_pod.study --study=configs/studies/digits_noise.py:60 \\
  --output=studies/b --jobs=2
python -m sam_pod.study --study=PAGE --output=studies/mine --tpu=local

A study's page names arms (a recipe and what differs from it), seeds, and the baseline.
Each run is `sam_pod.main` in a process of its own, with the workdir OUTPUT/runs/ARM/
seed-N and its log beside it. After each run report.md and report.html are written anew.
Stop it with Ctrl-C, or kill it: the same command goes on. All flags that are not below,
such as --tpu=… or --config.dtype=bfloat16, go to every run; what an arm sets itself
cannot be among them, and a study's budget stretches what they say.

Exit codes: 0 all runs are finished, or diverged, which the report says; 1 a run
failed, or the user's error, one line on stderr; 42 interrupted, run the same command
again; 70 a bug, with its traceback.
"""

import shlex
import sys
import threading

from absl import flags, logging

from sam_pod import errors
from sam_pod.process import command, path_flags, signals

# They are the study's own.
_NOT_FOR_RUNS = ("config", "workdir", "config.seed")


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    stop = signals.watch()
    return command.run(lambda: _run(argv, stop))


def _define() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "study", None, "The study's page: FILE[:VARIANT].", flag_values=values
    )
    path_flags.define(
        "output", None, "Folder of the study; goes on with what is there.", values
    )
    flags.DEFINE_integer(
        "jobs",
        1,
        "Runs at once, each with its share of the cores; 0 only reports.",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "runs",
        [],
        "Folder in which workdirs of runs made elsewhere lie; those whose config is "
        "that of a run of the study are taken for it. May be repeated.",
        flag_values=values,
    )
    path_flags.define(
        "keep",
        "",
        "Folder to which finished runs are copied without weights, with the report, at "
        "the end; it serves as --runs.",
        values,
    )
    flags.DEFINE_string(
        "launcher",
        "",
        "What precedes the command of a run, such as "
        "'python -m launch.workers --num_workers=2 --'.",
        flag_values=values,
    )
    return values


def _run(argv: list[str], stop: threading.Event) -> None:
    values = _define()
    more = command.parse_with_words(values, argv, __doc__, known_only=True)
    command.require(values, "study", "output")
    for word in more:
        name = word.lstrip("-").partition("=")[0]
        if not word.startswith("--") or name in _NOT_FOR_RUNS:
            raise errors.UserError(
                f"{word!r} cannot go to every run: the study's page says the recipes "
                "and seeds, and further flags look like --key=value."
            )
    command.set_environment()
    command.log_to_stdout()
    # SciPy is imported from here on: a bad flag is refused in a moment.
    from sam_pod.study import job, plan

    options = job.Options(
        output=values.output,
        jobs=values.jobs,
        launcher=tuple(shlex.split(values.launcher)),
        more=tuple(more),
        keep=values.keep,
        elsewhere=tuple(map(path_flags.expand, values.runs)),
    )
    try:
        text = job.run(plan.load(values.study), options, stop)
    except signals.Interrupted:
        logging.info("Stopped. The same command goes on.")
        raise
    print(text)
    logging.info("Report: %s/report.html", values.output)


if __name__ == "__main__":
    command.leave(main(sys.argv))
