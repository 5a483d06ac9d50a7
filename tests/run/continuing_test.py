"""What changes when a run is continued elsewhere, and what needs a word of consent."""

import json
import os

import pytest

from sam_pod import errors, main
from sam_pod.config import command_line
from sam_pod.config import keys as config_lib
from sam_pod.run import continuing, result_file, spread, workdir

NONE = frozenset()


def config_of(**values):
    config = config_lib.defaults()
    for key, value in values.items():
        section, _, name = key.rpartition("__")
        (config[section] if section else config)[name] = value
    return config


def spread_of(config, replicas, workers=1, group=None, batch_norm=True):
    group = group or {"global": replicas}.get(config.sam.sync, 1)
    return spread.of(config, replicas, workers, group, has_batch_norm=batch_norm)


@pytest.mark.parametrize(
    ("values", "replicas", "group", "expected"),
    [
        ({}, 1, None, (128, 128)),
        ({}, 4, None, (128, 32)),  # All ascend together, each normalizes alone.
        ({"accumulate_steps": 2}, 4, None, (128, 16)),
        ({"model__batch_norm": "global"}, 4, None, (128, 128)),
        ({"sam__sync": "replica"}, 4, None, (32, 32)),
        ({"sam__sync": "norm"}, 4, None, (32, 32)),
        ({"sam__sync": "2"}, 4, 2, (64, 32)),
        ({"sam__sync": "2", "model__batch_norm": "global"}, 4, 2, (64, 64)),
        ({"sam__micro_batches": 4}, 2, None, (32, 16)),
        ({"sam__sync": "replica", "sam__micro_batches": 2}, 4, None, (16, 16)),
        ({"sam__rho": 0.0, "sam__sync": "replica"}, 4, None, (None, 32)),
    ],
)
def test_what_an_update_depends_on(values, replicas, group, expected):
    found = spread_of(config_of(**values), replicas, group=group)
    assert (found.ascent_examples, found.batch_norm_examples) == expected
    without = spread_of(config_of(**values), replicas, group=group, batch_norm=False)
    assert without.batch_norm_examples is None
    assert spread.from_json(json.loads(json.dumps(found.to_json()))) == found


def begin(folder, config, now):
    workdir.begin(folder, config, {}).close()
    continuing.note_spread(folder, now)


@pytest.mark.parametrize(
    ("values", "batch_norm", "phrases"),
    [
        ({"sam__sync": "replica"}, False, ["the m of SAM goes from 128 to 64"]),
        ({}, True, ["BatchNorm's batch goes from 128 to 64"]),
        (
            {"sam__sync": "norm"},
            True,
            ["the m of SAM goes from 128 to 64", "BatchNorm's batch goes from 128"],
        ),
        ({}, False, []),
        ({"model__batch_norm": "global"}, True, []),
    ],
)
def test_another_update_needs_consent(tmp_path, values, batch_norm, phrases):
    folder, config = str(tmp_path), config_of(**values)
    old = spread_of(config, 1, batch_norm=batch_norm)
    new = spread_of(config, 2, 2, batch_norm=batch_norm)
    assert continuing.check_spread(folder, config, old, NONE) == ""
    begin(folder, config, old)
    assert continuing.check_spread(folder, config, old, NONE) == ""
    if phrases:
        with pytest.raises(errors.UserError, match="accept_change=replicas") as told:
            continuing.check_spread(folder, config, new, NONE)
        assert all(phrase in str(told.value) for phrase in phrases)
        assert "on 1 replica, and this is one on 2 replicas of 2 wo" in str(told.value)
    else:
        line = continuing.check_spread(folder, config, new, NONE)
        assert line.endswith("the update stays the same, but for rounding.")
        line = continuing.check_spread(folder, config, new, NONE, draws_by_batch=True)
        assert line.endswith("but for rounding and what layers draw for a batch.")
    line = continuing.check_spread(folder, config, new, frozenset({"replicas"}))
    assert all(phrase in line for phrase in phrases)
    begin(folder, config, new)
    noted = continuing.spread_of(folder)
    assert (noted["replicas"], noted["workers"]) == (2, 2)
    assert noted["changes"] == [{"step": 0, "from": old.to_json()}]
    assert continuing.check_spread(folder, config, new, NONE) == ""


def test_a_strategys_name_is_no_change_once_the_replicas_are_noted(tmp_path):
    folder, config = str(tmp_path), config_of()
    workdir.begin(folder, config, {}).close()
    elsewhere = config_of(runtime__strategy="multiworker", runtime__cpu_replicas=2)
    # A run of an older version: nothing says on how many replicas it was.
    with pytest.raises(errors.UserError, match=r"`runtime\.strategy` was 'auto'"):
        workdir.check(folder, elsewhere)
    workdir.check(folder, elsewhere, frozenset({"replicas"}))
    line = continuing.check_spread(folder, config, spread_of(config, 2), NONE)
    assert "is not noted; it continues on 2 replicas" in line
    continuing.note_spread(folder, spread_of(config, 1))
    workdir.check(folder, elsewhere)


def test_a_spread_by_which_no_step_was_taken_is_not_noted(tmp_path):
    folder, config = str(tmp_path), config_of()
    one, two, four = (spread_of(config, count) for count in (1, 2, 4))
    begin(folder, config, one)
    (tmp_path / "checkpoints").mkdir()

    def changes(step, *spreads):
        (tmp_path / "checkpoints" / f"ckpt-{step}-1.index").touch()
        for each in spreads:
            continuing.note_spread(folder, each)
        found = continuing.spread_of(folder)
        assert found["replicas"] == spreads[-1].replicas
        return [(c["step"], c["from"]["replicas"]) for c in found["changes"]]

    assert changes(10, two, one) == []
    assert changes(10, two, four) == [(10, 1)]
    assert changes(20, two) == [(10, 1), (20, 4)]


def write_result(folder, epochs, best_epoch):
    scores = {"test_accuracy": 0.5, "test_loss": 1.0}
    epochs = {"epochs": epochs, "best_epoch": best_epoch}
    result_file.write(folder, {**scores, **epochs})


def test_a_finished_run_is_trained_for_longer_with_consent(tmp_path):
    folder, config = str(tmp_path), config_of(num_epochs=4)
    begin(folder, config, spread_of(config, 1))
    write_result(folder, 4, 3)
    assert continuing.finished(folder, config)["epochs"] == 4
    assert "num_epochs" in continuing.way_on({"epochs": 4, "best_epoch": 3}, config)
    longer = config_of(num_epochs=6)
    with pytest.raises(errors.UserError, match=r"add --accept_change=num_epochs\."):
        workdir.check(folder, longer)
    workdir.check(folder, longer, frozenset({"num_epochs"}))
    assert continuing.finished(folder, longer) is None
    # What a kill leaves: the longer config, and the result of the shorter run.
    begin(folder, longer, spread_of(config, 1))
    workdir.check(folder, longer)
    assert continuing.finished(folder, longer) is None
    write_result(folder, 6, 6)
    assert continuing.finished(folder, longer)["epochs"] == 6
    with pytest.raises(errors.UserError, match=r"`seed` was 0, is 1\)[^.]*\.$"):
        workdir.check(folder, config_of(num_epochs=6, seed=1))


def test_early_stopping_ends_a_run_for_good_unless_it_may_last_longer(tmp_path):
    folder, config = str(tmp_path), config_of(early_stopping__patience=3)
    begin(folder, config, spread_of(config, 1))
    write_result(folder, 7, 4)
    result = continuing.finished(folder, config)
    assert "early_stopping.patience" in continuing.way_on(result, config)
    later = config_of(early_stopping__patience=5)
    workdir.check(folder, later, frozenset({"early_stopping.patience"}))
    assert continuing.finished(folder, later) is None


def test_no_fewer_epochs_than_are_trained(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("ckpt-10-1", "ckpt-25-2"):
        (tmp_path / "checkpoints" / f"{name}.index").write_text("")
    assert continuing.done(str(tmp_path)) == (25, 2)
    continuing.check_epochs(str(tmp_path), config_of(num_epochs=2))
    with pytest.raises(errors.UserError, match=r"is 1, and .* has trained 2: give at"):
        continuing.check_epochs(str(tmp_path), config_of(num_epochs=1))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"replicas": 0}', '{"changes": 3}', '{"changes": []}']
)
def test_a_broken_note_is_one_line(tmp_path, text):
    (tmp_path / "replicas.json").write_text(text)
    config = config_of()
    with pytest.raises(errors.UserError, match=r"replicas\.json cannot be read"):
        continuing.check_spread(str(tmp_path), config, spread_of(config, 1), NONE)


def test_what_may_be_accepted_is_listed():
    recipe = os.path.join(os.path.dirname(main.__file__), "..", "configs/resnet20.py")
    with pytest.raises(errors.UserError, match="Did you mean 'replicas'"):
        command_line.parse(["main", f"--config={recipe}", "--accept_change=replica"])
    keys = config_lib.flatten(config_lib.defaults())
    assert set(config_lib.ACCEPTABLE) - {"replicas"} <= keys.keys()
