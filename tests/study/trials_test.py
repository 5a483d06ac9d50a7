"""The runs of a study: budgets, sweeps, and arms that are one."""

import dataclasses

import pytest

from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.study import Arm, trials
from tests.study.pages import PLAIN, RECIPE, SAM, study, with_overrides


def epochs(by_arm):
    return {
        name: [t.config.num_epochs for t in candidates]
        for name, candidates in by_arm.items()
    }


def test_arms_spend_the_gradients_of_the_most_expensive_one():
    look = Arm("look", RECIPE, {"sam.variant": "looksam", "sam.looksam.k": 5})
    every = study(PLAIN, SAM, look, overrides={"num_epochs": 30})
    assert epochs(trials.of(every)) == {"plain": [60], "SAM": [30], "look": [50]}
    as_said = dataclasses.replace(every, budget="epochs")
    assert epochs(trials.of(as_said)) == {"plain": [30], "SAM": [30], "look": [30]}


def test_the_schedule_is_stretched_with_the_epochs():
    warm = {"num_epochs": 10, "schedule.warmup_epochs": 1.5}
    plateau = {"schedule.plateau_patience": 3, "early_stopping.patience": 10}
    plain, sam = (
        trials.of(study(overrides={**warm, **plateau}))[name][0].config
        for name in ("plain", "SAM")
    )
    assert (sam.schedule.warmup_epochs, plain.schedule.warmup_epochs) == (1.5, 3.0)

    assert (sam.schedule.plateau_patience, plain.schedule.plateau_patience) == (3, 6)
    assert (sam.early_stopping.patience, plain.early_stopping.patience) == (10, 20)


def test_steps_and_exponentials_are_stretched_with_the_epochs():
    def schedules(**values):
        values = {f"schedule.{key}": value for key, value in values.items()}
        made = trials.of(study(overrides={"num_epochs": 10, **values}))
        return [made[name][0].config.schedule for name in ("plain", "SAM")]

    steps = schedules(name="step", boundaries="3,80%")
    assert [each.boundaries for each in steps] == ["6.0,80%", "3,80%"]
    assert [each.decay_epochs for each in schedules(name="exponential")] == [2.0, 1.0]


def test_no_value_is_chosen_where_nothing_validates():
    swept = dataclasses.replace(SAM, sweep={"sam.rho": (0.1, 0.2)})
    blind = {
        "data.validation": "none",
        "schedule.name": "cosine",
        "early_stopping.patience": 0,
        "early_stopping.restore_best_weights": False,
    }
    trials.of(study(overrides=blind))
    with pytest.raises(errors.UserError, match="tries 2 values"):
        trials.of(study(swept, overrides=blind))


def test_a_run_is_asked_for_by_what_the_trainer_takes():
    (trial,) = trials.of(study())["plain"]
    config = command_line.parse(["main", *trial.arguments(7)])[0].config
    assert trials.Run(trial, 7).is_config(config)
    assert not trials.Run(trial, 8).is_config(config)
    config.checkpoint.every_seconds = 7.0  # Says how to run it, not what it computes.
    config.data.dir = "elsewhere"
    assert trials.Run(trial, 7).is_config(config)


def test_a_sweep_has_a_trial_for_each_mix_of_values():
    mixed = {"sam.rho": (0.1, 0.2), "optimizer.learning_rate": (1e-3, 2e-3)}
    (found,) = trials.of(study(dataclasses.replace(SAM, sweep=mixed))).values()
    assert [t.value for t in found] == [
        "sam.rho=0.1,optimizer.learning_rate=0.001",
        "sam.rho=0.1,optimizer.learning_rate=0.002",
        "sam.rho=0.2,optimizer.learning_rate=0.001",
        "sam.rho=0.2,optimizer.learning_rate=0.002",
    ]
    assert found[3].config.optimizer.learning_rate == 2e-3
    assert len({t.folder for t in found}) == 4


def test_two_equal_arms_are_refused_by_name():
    again = Arm("again", RECIPE, {"sam.rho": 0.2, "log_every_seconds": 1.0})
    with pytest.raises(errors.UserError, match="Arms 'SAM' and 'again' are one"):
        trials.of(study(SAM, again))


def test_what_the_trainer_refuses_is_said_with_the_arm():
    wrong = with_overrides(SAM, sam__rhoo=1)
    with pytest.raises(errors.UserError, match=r"Arm 'SAM': .*`sam.rho`"):
        trials.of(study(PLAIN, wrong))
    with pytest.raises(errors.UserError, match="Arm 'SAM': No recipe"):
        trials.of(study(PLAIN, Arm("SAM", "gone.py")))


def test_arguments_for_all_runs_are_part_of_their_configs():
    (trial,) = trials.of(study(), ["--config.dtype=bfloat16"])["SAM"]
    assert trial.config.dtype == "bfloat16"
