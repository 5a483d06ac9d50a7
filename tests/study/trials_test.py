"""The runs of a study: budgets, sweeps, and arms that are one."""

import dataclasses

import pytest

from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.study import Arm, plan, trials
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
    elsewhere = Arm("again", RECIPE, {"sam.rho": 0.2, "data.dir": "/other"})
    with pytest.raises(errors.UserError, match=r"are one: .*a study for each set"):
        trials.of(study(SAM, elsewhere))


@pytest.mark.parametrize(
    ("keys", "are_two"),
    [
        ({"model.batch_norm": "global"}, False),
        ({"model.batch_norm": "global", "sam.sync": "1"}, True),
        ({"model.batch_norm": "global", "sam.variant": "esam"}, True),
        ({}, True),  # BatchNorm's batch is a replica's.
    ],
)
def test_arms_on_other_replicas_are_two_where_that_changes_the_update(keys, are_two):
    one = Arm("one", RECIPE, {"sam.rho": 0.2, **keys})
    four = Arm("four", RECIPE, {**one.overrides, "runtime.cpu_replicas": 4})
    by_jax = Arm("jax", RECIPE, {**one.overrides, "runtime.strategy": "pjrt"})
    trials.of(study(one, by_jax))
    if are_two:
        trials.of(study(one, four))
        return
    with pytest.raises(errors.UserError, match="Arms 'one' and 'four' are one"):
        trials.of(study(one, four))


def test_what_the_trainer_refuses_is_said_with_the_arm():
    wrong = with_overrides(SAM, sam__rhoo=1)
    with pytest.raises(errors.UserError, match=r"Arm 'SAM': .*`sam.rho`"):
        trials.of(study(PLAIN, wrong))
    with pytest.raises(errors.UserError, match="Arm 'SAM': No recipe"):
        trials.of(study(PLAIN, Arm("SAM", "gone.py")))


def test_the_window_of_a_member_is_stretched_with_the_epochs():
    """LookSAM's steps cost less than SAM's, so it trains for longer."""
    window = {"num_epochs": 30, "sam.start": 6, "sam.end": "20"}
    look = Arm("look", RECIPE, {"sam.variant": "looksam"})
    made = trials.of(study(SAM, look, overrides=window))
    (sam,), (looks,) = made.values()
    share = 14 / 30
    assert looks.config.num_epochs == round(30 * (1 + share) / (1 + share / 5)) == 40
    assert (sam.config.sam.start, sam.config.sam.end) == ("6", "20")
    ends = [float(looks.config.sam[key]) for key in ("start", "end")]
    assert ends == pytest.approx([8, 80 / 3])
    of_run = study(SAM, look, overrides={"num_epochs": 30, "sam.start": "20%"})
    (longer,) = trials.of(of_run)["look"]
    assert (longer.config.sam.start, longer.config.sam.end) == ("20%", "100%")


def test_what_is_left_of_a_member_is_what_it_costs():
    nothing = Arm("WSAM", RECIPE, {"sam.variant": "wsam", "sam.wsam.gamma": 0.0})
    made = study(PLAIN, SAM, nothing, overrides={"num_epochs": 30})
    assert epochs(trials.of(made)) == {"plain": [60], "SAM": [30], "WSAM": [60]}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("sam.start", ("1", "1%", "1 %")),
        ("schedule.boundaries", ("1,2", "10%,20%", "1%,2%")),
        ("model.frozen", ("a" * 300, "a" * 301, "b")),
    ],
)
def test_each_value_of_a_sweep_has_a_folder_of_its_own(key, values):
    steps = {"schedule.name": "step"} if "schedule" in key else {}
    swept = dataclasses.replace(SAM, sweep={key: values[:2]})
    fields = {"overrides": {"num_epochs": 30, **steps}}
    first, second = (t.folder for t in trials.of(study(swept, **fields))["SAM"])
    assert first != second
    assert max(len(name) for name in (*first.split("/"), *second.split("/"))) <= 255
    # What is there keeps its name where values are added after it.
    more = dataclasses.replace(SAM, sweep={key: values[2:]})
    (alone,) = trials.of(study(more, **fields))["SAM"]
    assert alone.folder == f"SAM/{plan.folder_name(f'{key}={values[2]}')}"
    alone = dataclasses.replace(SAM, sweep={key: values[:1]})
    assert trials.of(study(alone, **fields))["SAM"][0].folder == first


def test_arguments_for_all_runs_are_part_of_their_configs():
    (trial,) = trials.of(study(), ["--config.dtype=bfloat16", "--tpu=local"])["SAM"]
    assert trial.config.dtype == "bfloat16"
    assert "--config.dtype=bfloat16" in trial.arguments(0)
    assert trial.overrides["dtype"] == "bfloat16"


def test_the_budget_stretches_what_a_flag_for_all_runs_says():
    flags = ["--config.num_epochs=2", "--config.schedule.warmup_epochs=1"]
    made = trials.of(study(), flags)
    assert epochs(made) == {"plain": [4], "SAM": [2]}
    assert made["plain"][0].config.schedule.warmup_epochs == 2.0
    shown = trials.plan_of(study(), made)["trials"]
    assert [each["overrides"]["num_epochs"] for each in shown] == [4, 2]
    for name, (trial,) in made.items():
        asked = command_line.parse(["main", *trial.arguments(0)])[0].config
        assert asked.num_epochs == trial.config.num_epochs, name


def test_a_flag_for_what_an_arm_sets_is_refused():
    swept = dataclasses.replace(SAM, overrides={}, sweep={"sam.rho": (0.1,)})
    for arm in (SAM, swept):
        with pytest.raises(errors.UserError, match=r"'SAM' sets `sam.rho` itself"):
            trials.of(study(arm), ["--config.sam.rho=0.3"])


def test_a_flag_may_say_whether_without_a_value():
    def restores(word):
        (trial,) = trials.of(study(PLAIN), [word])["plain"]
        return trial.overrides["early_stopping.restore_best_weights"]

    assert restores("--config.early_stopping.restore_best_weights") is True
    assert restores("--noconfig.early_stopping.restore_best_weights") is False
    with pytest.raises(errors.UserError, match="num_epochs"):
        trials.of(study(), ["--config.num_epochs"])
