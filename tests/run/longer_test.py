"""A run trained for longer says in a line what that does to its learning rate."""

import math
import types

import pytest

from sam_pod.config import keys as config_lib
from sam_pod.run import family, lengths, longer, workdir


def config_of(schedule, num_epochs):
    config = config_lib.defaults()
    config.schedule.name, config.num_epochs = schedule, num_epochs
    return config


def begin(folder, config):
    """Leave a run with a checkpoint after 2 epochs of 10 steps."""
    workdir.begin(str(folder), config, {}).close()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "ckpt-20-2.index").touch()


def test_a_cosine_of_another_length_says_both_rates(tmp_path):
    before, after = config_of("cosine", 4), config_of("cosine", 8)
    assert longer.change(str(tmp_path / "new"), after, 10) == ""
    begin(tmp_path, before)
    assert longer.change(str(tmp_path), before, 10) == ""
    rates = [
        after.optimizer.learning_rate * (1 + math.cos(math.pi * 20 / steps)) / 2
        for steps in (40, 80)
    ]
    line = longer.change(str(tmp_path), after, 10)
    assert line.startswith("`num_epochs` goes from 4 to 8: the cosine")
    assert line.endswith(f"from {rates[0]:.3g} to {rates[1]:.3g} after step 20.")


def test_shares_of_a_run_move_with_its_end_and_epochs_stay(tmp_path):
    shares, epochs = config_of("step", 4), config_of("step", 4)
    shares.schedule.boundaries, epochs.schedule.boundaries = "25%", "1"
    for config, end in (
        (shares, "from 0.01 to 0.1 after step 20."),
        (epochs, "before."),
    ):
        folder = tmp_path / config.schedule.boundaries
        folder.mkdir()
        begin(folder, config)
        config.num_epochs = 12
        assert longer.change(str(folder), config, 10).endswith(end)


def test_another_schedule_goes_on_as_it_was(tmp_path):
    begin(tmp_path, config_of("plateau", 4))
    line = longer.change(str(tmp_path), config_of("plateau", 8), 10)
    assert line == (
        "`num_epochs` goes from 4 to 8; the learning rate goes on as before."
    )


def test_a_member_that_acts_to_the_end_goes_on_as_it_was(tmp_path):
    """A start in epochs stays, one in percent moves; rho changes where it says so."""
    lines = []
    for number, (start, schedule) in enumerate(
        (("1", "constant"), ("1", "linear"), ("50%", "constant"))
    ):
        config = config_of("constant", 3)
        config.sam.start, config.sam.rho_schedule = start, schedule
        folder = tmp_path / str(number)
        folder.mkdir()
        begin(folder, config)
        config.num_epochs = 4
        lines.append(longer.change(str(folder), config, 10))
    acts = "`sam.variant` 'sam' acts from step"
    assert acts not in lines[0]
    assert f"{acts} 10 to 40, where it acted from 10 to 30, and rho changes" in lines[1]
    assert f"{acts} 20 to 40, where it acted from 15 to 30; the" in lines[2]


@pytest.mark.parametrize(
    ("keys", "spent"),
    [
        ({"sam.start": "50%"}, 20 + 5),  # Of 60 steps the first 30 have one gradient.
        ({"schedule.name": "cosine"}, 40),
        ({"sam.rho_schedule": "linear"}, 40),
        ({}, None),
    ],
)
def test_a_length_is_noted_where_the_steps_are_others_from_here_on(
    keys, spent, tmp_path
):
    config = config_of("constant", 3)
    config.update_from_flattened_dict(keys)
    begin(tmp_path, config)
    config.num_epochs = 6
    found = family.build(config, network=None, epoch_steps=10)
    recipe = types.SimpleNamespace(network=None, cadence=found.cadence)
    longer.note(str(tmp_path), config, recipe, 10)
    noted = [lengths.Before(3, 20, spent)] if spent else []
    assert lengths.read(str(tmp_path)) == noted
