"""Export a run to other runtimes: python -m sam_pod.export --workdir=RUN --output=DIR.

DIR must be empty or new. It appears whole or not at all, with
  train_step.stablehlo  one step on one replica: state, batch -> state, metrics;
                        train_step_*, where others take some of the steps
  inference.stablehlo   weights, statistics, uint8 images -> logits
  values.npz            the state at the checkpoint, for the inputs of both
  manifest.json         how to call them: names, roles, shapes, types, donation
  saved_model/1/        TensorFlow: raw images [None, H, W, C] -> probabilities, too;
                        TensorFlow Serving takes saved_model as --model_base_path
  model.keras           Keras from 3.5 on, without this package: float images ->
                        logits; a --config.model.name, too
The programs are portable StableHLO, which JAX 0.4.34 and other compilers read. What
cannot be made of a model is left out: the log and `not_made` in the manifest say why.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, the same
command starts it again; 70 a bug, with its traceback.
"""

import os
import sys
from collections.abc import Callable

from absl import flags

from sam_pod.process import command, heavy_imports, path_flags


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    return command.run_at_once(lambda raise_if_stopped: _export(argv, raise_if_stopped))


def parse(argv: list[str]) -> flags.FlagValues:
    """Return the flags.

    Raises:
        UserError: a flag that is unknown, missing, or has a wrong value.
        SystemExit: after showing the help that was asked for.
    """
    values = flags.FlagValues()
    path_flags.define("workdir", "", "Folder of the run, or gs://.", values)
    path_flags.define("output", "", "Folder to write.", values)
    flags.DEFINE_enum(
        "which",
        "latest",
        ["latest", "best"],
        "Checkpoint: the last one, or the one of the lowest validation loss, which "
        "holds weights and statistics (the rest is as before the first step).",
        values,
    )
    flags.DEFINE_integer(
        "replicas",
        1,
        "Replicas of the training step; above 1 it has their all-reduces.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "Images of inference.stablehlo; else those of a replica's training step.",
        lower_bound=1,
        flag_values=values,
    )
    path_flags.define(
        "data_dir", "", "The prepared data, if they moved since the run.", values
    )
    command.parse(values, argv, __doc__)
    command.require(values, "workdir", "output")
    return values


def _export(argv: list[str], raise_if_stopped: Callable[[], None]) -> None:
    values = parse(argv)
    command.set_environment()
    # A training on this machine may need all the memory of its GPU.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    command.log_to_stdout()
    heavy_imports.tensorflow()
    from sam_pod.export import folder

    folder.write(
        values.workdir,
        values.output,
        which=values.which,
        num_replicas=values.replicas,
        batch_size=values.batch_size,
        data_dir=values.data_dir,
        raise_if_stopped=raise_if_stopped,
    )


if __name__ == "__main__":
    command.leave(main(sys.argv))
