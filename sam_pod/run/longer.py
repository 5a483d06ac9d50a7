"""What another number of epochs does to a run that continues."""

import os

import ml_collections
import tensorflow as tf

from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import schedules


def change(workdir: str, config: ml_collections.ConfigDict, epoch_steps: int) -> str:
    """Return what another number of epochs does, in a line; '' where it is the same.

    Args:
        workdir: A folder that may hold a run.
        config: A validated config.
        epoch_steps: The steps of an epoch.
    """
    if workdir_lib.read_json(os.path.join(workdir, workdir_lib.CONFIG)) is None:
        return ""
    old = workdir_lib.read_config(workdir)
    if old.num_epochs == config.num_epochs:
        return ""
    line = f"`num_epochs` goes from {old.num_epochs} to {config.num_epochs}"
    step, _ = continuing.done(workdir)
    if config.schedule.name != "cosine":
        return f"{line}; the learning rate goes on as before."
    one = tf.constant(1.0)
    before, after = (
        float(schedules.build(each, epoch_steps)(tf.constant(step), one))
        for each in (old, config)
    )
    return (
        f"{line}: the cosine of the learning rate ends there, and the rate goes from "
        f"{before:.3g} to {after:.3g} after step {step}."
    )
