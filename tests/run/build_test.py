"""A recipe is built alike for whoever asks: training, export, preflight."""

import dataclasses

import pytest

from sam_pod import errors
from sam_pod.data.stored import manifest
from sam_pod.machines import groups
from sam_pod.run import build
from tests import runs


def test_a_recipe_knows_the_steps_of_an_epoch(tmp_path):
    """100 examples less 20 held out are 5 batches of 16."""
    config = runs.small_config(tmp_path, **{"schedule.name": "cosine"})
    data = manifest.read(config.data.dir)
    found = build.recipe(config, data, 1)
    expected = build.build_recipe(config, data, 5, 1)
    other = build.build_recipe(config, data, 6, 1)
    rates = [float(r.schedule(13, 1.0)) for r in (found, expected, other)]
    assert rates[0] == rates[1] != rates[2]


def test_one_replica_is_a_group_of_any_size_by_itself(tmp_path):
    config = runs.small_config(tmp_path, **{"sam.sync": "4"})
    data = manifest.read(config.data.dir)
    with pytest.raises(errors.UserError, match=r"`sam\.sync` is 4"):
        build.recipe(config, data, 1)
    assert build.recipe_alone(config, data).groups == groups.Groups()
    assert config.sam.sync == "4"
    config.sam.sync = "norm"
    assert build.recipe_alone(config, data).groups.shares_norm


def test_data_of_one_class_are_refused(tmp_path):
    config = runs.small_config(tmp_path)
    data = manifest.read(config.data.dir)
    one = dataclasses.replace(data, classes=data.classes[:1])
    with pytest.raises(errors.UserError, match=r"have one class, .*nothing to learn"):
        build.recipe(config, one, 1)


@pytest.mark.parametrize(
    ("frozen", "line"),
    [
        ("conv2d", "1 layer is frozen; 4 of 6 variables train."),
        ("conv2d,dense", "2 layers are frozen; 2 of 6 variables train."),
    ],
)
def test_a_line_says_how_many_layers_are_frozen(tmp_path, caplog, frozen, line):
    caplog.set_level("INFO", "absl")
    config = runs.small_config(tmp_path, **{"model.frozen": frozen})
    build.recipe(config, manifest.read(config.data.dir), 1)
    assert line in caplog.messages
