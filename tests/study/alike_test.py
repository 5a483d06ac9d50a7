"""Runs whose configs are equal, and which are not alike: named."""

import dataclasses
import json

import pytest

from sam_pod.run import spread
from sam_pod.study import alike, trials
from sam_pod.study import found as found_lib
from tests.study import trainer
from tests.study.pages import PLAIN, study, with_overrides

ONE, TWO = (spread.Spread(n, 1, 64 // n, 64 // n) for n in (1, 2))


def runs(*arms, **fields):
    """Return finished runs by arm, two seeds each."""
    by_arm = trials.of(study(*arms))
    return {
        name: [
            found_lib.Found(trials.Run(trial, seed), "", found_lib.FINISHED, **fields)
            for seed in (0, 1)
        ]
        for name, (trial,) in by_arm.items()
    }


def changed(by_arm, name, seed, **fields):
    """Return runs of which one is another."""
    each = list(by_arm[name])
    each[seed] = dataclasses.replace(each[seed], **fields)
    return {**by_arm, name: each}


INPUTS = {
    "data.dir": "d" * 64,
    "model.name": "m" * 64,
    "model.trusted_modules": "t" * 64,
    "model.initial_weights": "i" * 64,
}


@pytest.mark.parametrize("key", INPUTS)
def test_another_content_of_an_input_is_named(key):
    alike_all = runs(digests=INPUTS)
    assert alike.notes(alike_all) == []
    other = changed(alike_all, "SAM", 1, digests={**INPUTS, key: "o" * 64})
    (note,) = alike.notes(other)
    what = "same data" if key == "data.dir" else f"same content of `{key}`"
    assert what in note and "'SAM': ['" in note and "oooooooo" in note
    # What an older version has not noted is no other content.
    unknown = {k: v for k, v in INPUTS.items() if k != key}
    assert alike.notes(changed(alike_all, "SAM", 1, digests=unknown)) == []
    # Neither is that of a run that does not count.
    lost = changed(other, "SAM", 1, state=found_lib.FAILED)
    assert alike.notes(lost) == []


def test_a_run_that_was_lengthened_is_named():
    before = [{"num_epochs": 2, "step": 36, "gradients": 72.0}]
    whole = runs(result={"lengths": []})
    assert alike.notes(whole) == []
    (note,) = alike.notes(changed(whole, "SAM", 1, result={"lengths": before}))
    assert note.startswith("SAM/seed-1 was to last 2 epochs until step 36: its")


def test_digests_are_read_of_what_a_run_leaves(tmp_path):
    run = trials.Run(trials.of(study())["SAM"][0], 0)
    trainer.train(run.trial.config, tmp_path, run.trial.config.num_epochs)
    seen = found_lib.look(run, str(tmp_path))
    assert seen.digests == {"data.dir": "d" * 64, "model.initial_weights": ""}
    assert seen.spread == trainer.spread_of(run.trial.config)
    for name, key in (("inputs", "model.name"), ("initial_weights", "digest")):
        (tmp_path / f"{name}.json").write_text(json.dumps({key: "5"}))
    seen = found_lib.look(run, str(tmp_path))
    assert seen.digests == {"model.name": "5", "model.initial_weights": "5"}


def test_of_runs_of_one_update_that_of_the_same_place_is_taken(tmp_path):
    everywhere = with_overrides(PLAIN, model__batch_norm="global")
    run = trials.Run(trials.of(study(everywhere))["plain"][0], 0)
    for count in (2, 1, 4):
        config = run.trial.config.copy_and_resolve_references()
        config.runtime.cpu_replicas = count
        trainer.train(config, tmp_path / str(count), config.num_epochs)
    there = [str(tmp_path / name) for name in ("2", "1", "4")]
    assert found_lib.look(run, f"{tmp_path}/none", there).workdir == there[1]
    assert found_lib.look(run, f"{tmp_path}/none", there[:1]).workdir == there[0]


def test_arms_may_be_of_other_models():
    files = [
        with_overrides(PLAIN, model__name=name) for name in ("resnet20", "vit_s16")
    ]
    files[1] = dataclasses.replace(files[1], name="other")
    both = runs(*files)
    for name, digest in (("plain", "a"), ("other", "b")):
        both[name] = [
            dataclasses.replace(each, digests={"model.name": digest})
            for each in both[name]
        ]
    assert alike.notes(both) == []


def test_runs_of_an_arm_that_are_not_one_update_are_named():
    each = changed(runs(spread=ONE), "SAM", 1, spread=TWO)
    (note,) = alike.notes(each)
    assert note == (
        "The runs of SAM are not of one update: TensorFlow on 1 replica, SAM's m 64, "
        "BatchNorm's batch 64 (seed 0); TensorFlow on 2 replicas, SAM's m 32, "
        "BatchNorm's batch 32 (seed 1). Their mean is of none of these."
    )
    by_jax = dataclasses.replace(ONE, executed_by="JAX")
    (note,) = alike.notes(changed(runs(spread=ONE), "SAM", 1, spread=by_jax))
    assert "JAX on 1 replica" in note
    # As many replicas as one likes give the same update where all is global.
    many = dataclasses.replace(ONE, replicas=8)
    sam = {"SAM": runs(spread=ONE)["SAM"]}
    assert alike.notes(changed(sam, "SAM", 1, spread=many)) == []
    assert alike.notes(changed(sam, "SAM", 1, spread=None)) == []


def test_a_run_that_was_of_two_updates_is_named():
    def notes(before):
        result = {"changes": [{"step": 3, "from": before.to_json()}]}
        return alike.notes(changed(runs(spread=ONE), "SAM", 1, result=result))

    (note,) = notes(TWO)
    assert note.startswith("SAM/seed-1 is not of one update: TensorFlow on 2 replicas")
    assert "; then TensorFlow on 1 replica, SAM's m 64" in note
    assert notes(dataclasses.replace(ONE, workers=2)) == []


def test_arms_that_were_spread_otherwise_than_each_other_are_named():
    def with_sam(its, plain=ONE):
        found = runs(spread=dataclasses.replace(plain, ascent_examples=None))
        each = [dataclasses.replace(one, spread=its) for one in found["SAM"]]
        return alike.notes({**found, "SAM": each})

    (note,) = with_sam(TWO)
    assert "'plain': 'TensorFlow on 1 replica'" in note
    assert "'SAM': 'TensorFlow on 2 replicas'" in note
    assert with_sam(TWO, TWO) == []
    assert with_sam(dataclasses.replace(ONE, replicas=8)) == []


def test_other_versions_are_named():
    def notes(**others):
        versions = {"tensorflow": "2.16.2", "python": "3.11.7"}
        all_runs = runs(result={"versions": versions})
        result = {"versions": {**versions, **others}}
        return alike.notes(changed(all_runs, "SAM", 1, result=result))

    (note,) = notes(tensorflow="2.17.0")
    assert "versions of tensorflow" in note
    assert "{'plain': '2.16.2', 'SAM': '2.16.2 or 2.17.0'}" in note
    assert notes(python="3.12.1") == []
