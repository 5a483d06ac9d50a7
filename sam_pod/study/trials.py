"""The runs of a study: one for each arm, each of its values, and each seed."""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from sam_pod import errors
from sam_pod.config import command_line, keys, passes, window
from sam_pod.study import places, plan, run_flags

NOT_COMPARED = keys.FREE_KEYS | keys.PLACE_KEYS | {"seed"}


@dataclasses.dataclass(frozen=True)
class Trial:
    """An arm with one value of what it sweeps, or an arm that sweeps nothing."""

    arm: str
    value: str  # Such as 'sam.rho=0.2'; '' without a sweep.
    folder: str  # Of its runs alone, below that of all runs.
    recipe: str
    # With the flags for all runs and what the budget has stretched.
    overrides: Mapping[str, plan.Value]
    config: ml_collections.ConfigDict  # But for the seed.

    @property
    def passes(self) -> float:
        """Gradients of a step, as the config says."""
        return passes.mean(self.config)

    def arguments(self, seed: int) -> list[str]:
        """Return what the command that trains is given, but for --workdir."""
        return _arguments(self.recipe, {**self.overrides, "seed": seed})


@dataclasses.dataclass(frozen=True)
class Run:
    """A trial with a seed."""

    trial: Trial
    seed: int

    @property
    def name(self) -> str:
        """The name of the run in messages."""
        return os.path.join(self.trial.folder, f"seed-{self.seed}")

    def is_config(self, config: ml_collections.ConfigDict) -> bool:
        """Return whether another run with this config computes the same.

        But for what depends on the number of replicas: see `places`.
        """
        return config.seed == self.seed and is_same(config, self.trial.config)


def is_same(a: ml_collections.ConfigDict, b: ml_collections.ConfigDict) -> bool:
    """Return whether configs are equal but for the seed and where they are run."""
    return not different_keys(a, b)


def different_keys(
    a: ml_collections.ConfigDict, b: ml_collections.ConfigDict
) -> list[str]:
    """Return the keys of what is computed, the seed left out, that differ."""
    return [k for k, _, _ in keys.differences(a, b) if k not in NOT_COMPARED]


def of(study: plan.Study, more: Sequence[str] = ()) -> dict[str, list[Trial]]:
    """Return the trials of each arm, within the study's budget.

    Args:
        study: A study, as returned by `plan.load`.
        more: Arguments of the trainer that all runs get.

    Raises:
        UserError: a recipe, a key or a value that the config's rules refuse, named
            with its arm; or two arms that are one. Names of optimizers, schedules and
            models are looked up by the run, as that needs TensorFlow.
    """
    given = run_flags.split(more)
    run_flags.check(given, study.arms)
    found = {arm.name: _of_arm(study, arm, given) for arm in study.arms}
    if study.budget == "gradients":
        most = max(_epochs_of_gradients(t) for ts in found.values() for t in ts)
        found = {
            name: [_stretched(trial, most, given.words) for trial in trials]
            for name, trials in found.items()
        }
    _check_differ([trial for trials in found.values() for trial in trials])
    return found


def _of_arm(study: plan.Study, arm: plan.Arm, given: run_flags.Flags) -> list[Trial]:
    mixes = [
        dict(zip(arm.sweep, mix, strict=True))
        for mix in itertools.product(*arm.sweep.values())
    ]
    values = [",".join(f"{k}={v}" for k, v in mix.items()) for mix in mixes]
    made = []
    for mix, value, folder in zip(mixes, values, _folders(arm, values), strict=True):
        laid = {**study.overrides, **given.overrides, **arm.overrides, **mix}
        config = _config(arm.name, arm.recipe, laid, given.words)
        flat = keys.flatten(config)
        laid |= {key: flat[key] for key in given.overrides}  # Not texts any more.
        made.append(Trial(arm.name, value, folder, arm.recipe, laid, config))
    if len(made) > 1 and any(t.config.data.validation == "none" for t in made):
        raise errors.UserError(
            f"Arm {arm.name!r} tries {len(made)} values and `data.validation` is "
            "'none': a value is chosen on validation, so hold examples out, or give "
            "one value."
        )
    return made


def _folders(arm: plan.Arm, values: Sequence[str]) -> list[str]:
    own = plan.folder_name(arm.name)
    if not arm.sweep:
        return [own]
    return [os.path.join(own, name) for name in plan.folder_names(values)]


def _config(
    arm: str, recipe: str, overrides: Mapping[str, plan.Value], words: Sequence[str]
) -> ml_collections.ConfigDict:
    argv = ["main", *_arguments(recipe, overrides), *words]
    try:
        return command_line.parse(argv)[0].config
    except errors.UserError as error:
        raise errors.UserError(f"Arm {arm!r}: {error}") from error


def _arguments(recipe: str, overrides: Mapping[str, plan.Value]) -> list[str]:
    return [
        f"--config={recipe}",
        *(f"--config.{key}={value}" for key, value in overrides.items()),
    ]


def _epochs_of_gradients(trial: Trial) -> float:
    return trial.config.num_epochs * trial.passes


def _stretched(trial: Trial, most: float, words: Sequence[str]) -> Trial:
    """Return the trial with as many epochs as `most` gradients an example pay."""
    epochs = max(round(most / trial.passes), 1)
    if epochs == trial.config.num_epochs:
        return trial
    by = epochs / trial.config.num_epochs
    laid = {**trial.overrides, **_in_epochs(trial.config, by), "num_epochs": epochs}
    config = _config(trial.arm, trial.recipe, laid, words)
    return dataclasses.replace(trial, overrides=laid, config=config)


def _in_epochs(config: ml_collections.ConfigDict, by: float) -> dict[str, plan.Value]:
    """Return what a config counts in epochs, times `by`."""
    sam, schedule, patience = (
        config.sam,
        config.schedule,
        config.early_stopping.patience,
    )
    found: dict[str, plan.Value] = {}
    if schedule.warmup_epochs:
        found["schedule.warmup_epochs"] = schedule.warmup_epochs * by
    if schedule.name == "exponential":
        found["schedule.decay_epochs"] = schedule.decay_epochs * by
    if schedule.name == "step":
        found["schedule.boundaries"] = window.stretched(schedule.boundaries, by)
    if patience:
        found["early_stopping.patience"] = max(round(patience * by), 1)
    if schedule.name == "plateau":
        count = schedule.plateau_patience
        found["schedule.plateau_patience"] = max(round(count * by), 1)
    for name in ("start", "end") if sam.rho else ():
        if (text := window.stretched(sam[name], by)) != sam[name]:
            found[f"sam.{name}"] = text
    return found


def _check_differ(all_trials: Sequence[Trial]) -> None:
    for first, second in itertools.combinations(all_trials, 2):
        if is_same(first.config, second.config) and not places.may_be_two(
            first.config, second.config
        ):
            names = " and ".join(
                repr(f"{t.arm} {t.value}".strip()) for t in (first, second)
            )
            raise errors.UserError(
                f"Arms {names} are one: their configs are equal in all that is "
                f"computed{_but_for(first, second)}. Change a key of one of them, or "
                "leave it out."
            )


def _but_for(first: Trial, second: Trial) -> str:
    one, other = keys.flatten(first.config), keys.flatten(second.config)
    if one["data.dir"] == other["data.dir"]:
        return ""
    return " (`data.dir` says where data lie, not which: have a study for each set)"


def plan_of(study: plan.Study, by_arm: Mapping[str, Sequence[Trial]]) -> dict[str, Any]:
    """Return a study as the plan's file has it."""
    return {
        "title": study.title,
        "seeds": list(study.seeds),
        "baseline": study.baseline_name,
        "budget": study.budget,
        "metric": study.metric,
        "trial_seeds": list(study.trial_seeds),
        "trials": [_shown(trial) for each in by_arm.values() for trial in each],
    }


def _shown(trial: Trial) -> dict[str, Any]:
    path, _, variant = trial.recipe.partition(":")
    return {
        "arm": trial.arm,
        "value": trial.value,
        "recipe": os.path.relpath(path),
        "variant": variant,
        "overrides": dict(trial.overrides),
        "gradients_a_step": round(trial.passes, 4),
    }
