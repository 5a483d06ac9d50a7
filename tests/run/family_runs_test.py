"""Runs of members that remember, or act now and then: interrupted, and on replicas."""

import collections
import functools
import glob
import json
import logging
import math
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.process import signals
from sam_pod.run import checkpoint_folder
from tests import fixtures, runs
from tests.training import StopAfter, run

# 5 steps an epoch, 3 epochs.
MEMBERS = {
    "looksam": {"sam.variant": "looksam", "sam.looksam.k": 3, "sam.start": "1"},
    "friendly": {"sam.variant": "friendly", "sam.every": 2},
    "window": {"sam.every": 3, "sam.start": "25%"},
}
OWN = {"looksam": "train/new_part_norm", "friendly": "train/cosine"}
STEPS = 15


def acts(name, step):
    """Return whether a member ascends on a step, counted from 0."""
    if name == "friendly":
        return step % 2 == 0
    start = {"looksam": 5, "window": 4}[name]  # A quarter of 15, rounded.
    return step >= start and (step - start) % 3 == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("family")


@pytest.fixture(scope="module")
def whole(folder):
    """Return a function to the workdir of an uninterrupted run, made once."""

    def of(name):
        workdir = folder / name
        if not workdir.exists():
            run(config_of(folder, name), workdir)
        return workdir

    return of


@pytest.fixture(scope="module")
def interrupted(folder):
    """Return a function that gives a workdir an interrupted run, made once by name.

    It returns the number of the next step.
    """

    @functools.cache
    def made(name):
        workdir = folder / f"{name}-interrupted"
        return workdir, interrupt_within_a_period(
            config_of(folder, name), workdir, name
        )

    def copy(name, workdir):
        source, step = made(name)
        shutil.copytree(source, workdir)
        return step

    return copy


def config_of(folder, name):
    return runs.small_config(
        folder,
        **{
            "num_epochs": 3,
            "steps_per_loop": 2,
            "data.augment": "flip",
            "optimizer.name": "sgd",
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
            "optimizer.clip_norm": 5.0,
            **MEMBERS[name],
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_interrupted_within_a_period_and_continued_it_is_the_same_run(
    whole, interrupted, folder, tmp_path, name
):
    config, again = config_of(folder, name), tmp_path / "run"
    step = interrupted(name, again)
    run(config, again)
    # Of the part after the interruption, too: the memory was restored.
    assert any(acts(name, s) for s in range(step, STEPS))
    runs.assert_equal_checkpoints(whole(name), again)
    runs.assert_equal_scalars(whole(name), again)
    values = runs.checkpoint_values(again)
    remembered = [k for k in values if k.startswith("memory/")]
    assert bool(remembered) == (name in OWN)
    if remembered:
        assert values["memory/filled/0/.ATTRIBUTES/VARIABLE_VALUE"] == 1


def interrupt_within_a_period(config, workdir, name):
    """Stop a run where the next step begins no period; return its number."""
    for looks in range(5, 20):
        with pytest.raises(signals.Interrupted):
            run(config, workdir, StopAfter(looks))
        step = last_step(workdir)
        begun = any(acts(name, s) for s in range(step))
        if begun and not acts(name, step):
            return step
    raise AssertionError(step)


def last_step(workdir):
    path = checkpoint_folder.paths(str(workdir / "checkpoints"))[-1]
    return int(os.path.basename(path).split("-")[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_the_events_say_where_it_ascended(whole, name):
    values = runs.scalars(whole(name))
    assert list(values["train/rho"]) == list(range(1, STEPS + 1))
    for step, (rho,) in values["train/rho"].items():
        expected = np.float32(0.05) if acts(name, step - 1) else 0
        assert rho == expected, step
        (sharpness,) = values["train/sharpness"][step]
        assert (sharpness != 0) == acts(name, step - 1), step
    if name in OWN:
        own = values[OWN[name]]
        assert list(own) == [s + 1 for s in range(STEPS) if acts(name, s)]
        assert all(math.isfinite(v) for (v,) in own.values())
    others = set(OWN.values()) - {OWN.get(name)}
    assert not others.intersection(values)
    json.loads((whole(name) / "result.json").read_text())


@pytest.mark.slow
def test_two_replicas_are_one_but_for_their_sums(folder, tmp_path):
    """Without what is each replica's own: BatchNorm's batch. The memory as well."""
    config = config_of(folder, "looksam")
    model = tmp_path / "model.keras"
    net = fixtures.small_model(norm=False, shape=(8, 8, 3), classes=4)
    net.model.save(model)
    config.model.name = str(model)
    run(config, tmp_path / "one")
    run(config, tmp_path / "two", strategy=fixtures.mirrored(2))
    one, two = (runs.checkpoint_values(tmp_path / n) for n in ("one", "two"))
    assert one.keys() == two.keys()
    for key in one.keys() - {"progress/seconds/.ATTRIBUTES/VARIABLE_VALUE"}:
        np.testing.assert_allclose(one[key], two[key], atol=2e-4, err_msg=key)


def without_memory(workdir):
    """Take the memory from the newest checkpoint, as if no member had written it."""
    prefix = checkpoint_folder.paths(str(workdir / "checkpoints"))[-1]
    values = runs.checkpoint_values(workdir)
    tree = collections.defaultdict(dict)
    for key, value in values.items():
        *path, last = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").split("/")
        tree["/".join(path)][last] = tf.Variable(value)
    slots = {
        path.removeprefix("slots/"): in_order(found)
        for path, found in tree.items()
        if path.startswith("slots/")
    }
    for path in glob.glob(prefix + "*"):
        os.remove(path)
    tf.train.Checkpoint(
        step=tree[""]["step"],
        weights=in_order(tree["weights"]),
        stats=in_order(tree["stats"]),
        slots=slots,
        progress=tree["progress"],
    ).write(prefix)


def in_order(found):
    return [found[str(i)] for i in range(len(found))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["looksam", "friendly"])
def test_a_checkpoint_without_the_memory_continues_with_a_refresh(
    interrupted, folder, tmp_path, caplog, name
):
    config, workdir = config_of(folder, name), tmp_path / "run"
    step = interrupted(name, workdir)
    without_memory(workdir)
    with caplog.at_level(logging.WARNING):
        run(config, workdir)
    assert "has nothing that `sam.variant` remembers" in caplog.text
    rho = runs.scalars(workdir)["train/rho"]
    if name == "looksam":  # The first step ascends out of its turn.
        assert rho[step + 1] == [np.float32(0.05)]
    values = runs.checkpoint_values(workdir)
    assert values["memory/filled/0/.ATTRIBUTES/VARIABLE_VALUE"] == 1
    assert rho[STEPS] == [np.float32(0.05) if acts(name, STEPS - 1) else 0]


@pytest.mark.slow
def test_a_run_of_a_version_before_the_family_continues_as_it_was(folder, tmp_path):
    """Its config has none of the family's keys, and its checkpoints no memory."""
    config = config_of(folder, "window")
    for key, value in (("every", 1), ("start", "0")):
        config.sam[key] = value
    config.optimizer.clip_norm = 0.0
    run(config, tmp_path / "whole")
    old = tmp_path / "old"
    with pytest.raises(signals.Interrupted):
        run(config, old, StopAfter(4))
    assert not any(k.startswith("memory") for k in runs.checkpoint_values(old))
    stored = json.loads((old / "config.json").read_text())
    stored["sam"] = {
        k: stored["sam"][k] for k in ("rho", "sync", "micro_batches", "variant")
    }
    for key in ("clip_norm", "decays_in", "rate_in_velocity"):
        del stored["optimizer"][key]
    (old / "config.json").write_text(json.dumps(stored))
    run(config, old)
    runs.assert_equal_checkpoints(tmp_path / "whole", old)
    runs.assert_equal_scalars(tmp_path / "whole", old)
