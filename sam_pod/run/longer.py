"""What another number of epochs does to a run that continues."""

import os

import ml_collections
import tensorflow as tf

from sam_pod.config import window
from sam_pod.run import continuing, family, lengths, spending
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import schedules
from sam_pod.step.recipe import Recipe


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
    line += _change_of_window(old, config, epoch_steps)
    step, _ = continuing.done(workdir)
    if not schedules.depends_on_the_length(config):
        return f"{line}; the learning rate goes on as before."
    one = tf.constant(1.0)
    before, after = (
        float(schedules.build(each, epoch_steps)(tf.constant(step), one))
        for each in (old, config)
    )
    return (
        f"{line}: the {config.schedule.name} of the learning rate ends there, and the "
        f"rate goes from {before:.3g} to {after:.3g} after step {step}."
    )


def note(
    workdir: str, config: ml_collections.ConfigDict, recipe: Recipe, epoch_steps: int
) -> None:
    """Note the length that the run had, where its steps are others from here on.

    The run's config must still be the one that it had.

    Args:
        workdir: A folder that may hold a run.
        config: A validated config.
        recipe: What the steps are made of by this config.
        epoch_steps: The steps of an epoch.

    Raises:
        UserError: the disk is full.
    """
    step, _ = continuing.done(workdir)
    if step and change(workdir, config, epoch_steps):
        _note(workdir, config, recipe, epoch_steps, step)
    lengths.settle(workdir, config.num_epochs)


def _note(
    workdir: str,
    config: ml_collections.ConfigDict,
    recipe: Recipe,
    epoch_steps: int,
    step: int,
) -> None:
    old = workdir_lib.read_config(workdir)
    before = family.build(old, recipe.network, epoch_steps)
    if before.cadence != recipe.cadence or _rates_change(config):
        meter = spending.Meter(workdir, before.variant, before.cadence, is_chief=True)
        spent = meter.total_gradients(step)
        lengths.add(workdir, lengths.Before(old.num_epochs, step, spent))


def _rates_change(config: ml_collections.ConfigDict) -> bool:
    """Return whether another length changes the learning rate of a step, or rho."""
    return schedules.depends_on_the_length(config) or _rho_changes(config)


def _rho_changes(config: ml_collections.ConfigDict) -> bool:
    return bool(config.sam.rho) and config.sam.rho_schedule in ("linear", "cosine")


def _change_of_window(
    old: ml_collections.ConfigDict, new: ml_collections.ConfigDict, epoch_steps: int
) -> str:
    """Return between which steps the member acts now; '' where they are the same."""
    before, after = (window.of(each).steps(epoch_steps) for each in (old, new))
    ends = [each.num_epochs * epoch_steps for each in (old, new)]
    # Where it acts to the end it goes on as it was.
    is_same = before == after or (
        before[0] == after[0] and [before[1], after[1]] == ends
    )
    changes = _rho_changes(new)
    if not new.sam.rho or (is_same and not changes):
        return ""
    return (
        f"; `sam.variant` {new.sam.variant!r} acts from step {after[0]} to {after[1]}, "
        f"where it acted from {before[0]} to {before[1]}"
        f"{', and rho changes over these' if changes else ''}"
    )
