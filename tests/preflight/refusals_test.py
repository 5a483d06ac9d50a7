"""What the command refuses, in one line, before it compiles."""

import dataclasses
import importlib.metadata
import os

import pytest

from sam_pod import errors
from sam_pod.preflight import __main__ as main_lib
from sam_pod.run import build
from tests import fixtures, runs
from tests.lowering.programs_test import in_python, odd_model

RESNET = f"--config={runs.ROOT / 'configs' / 'resnet20.py'}"
SLICE = "--topology=v5e:2x2"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the flag of a small recipe."""
    folder = tmp_path_factory.mktemp("small")
    config = runs.small_config(folder)
    return f"--config={runs.write_recipe(folder / 'recipe.py', config)}"


def refused(*arguments):
    """Run the command here, expect one line, and return it."""
    with pytest.raises(errors.UserError) as caught:
        main_lib._run(["preflight", *map(str, arguments)], lambda: None)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "No slice; give --topology=v5e:4x4"),
        (["--topology=v5e:3x3"], "the nearest is v5e:2x4 (v5litepod-8)"),
        (["--topology=v9:2x2"], "The nearest is"),
        (["--accelerator_type=v4-31"], "The nearest is v4-32"),
        (
            [SLICE, "--accelerator_type=v5litepod-17"],
            "The nearest is v5litepod-16",
        ),
        ([SLICE, "--config.global_batch_size=30"], "(4): take 28 or 32"),
        (["--topology=v5e:4x4", "--config.global_batch_size=15"], "(16): take 16"),
        ([SLICE, "--config.sam.sync=3"], "take one of [1, 2, 4]"),
        ([SLICE, "--config.sam.roh=1"], "nearest is `sam.rho`"),
        ([SLICE, "--topolgy=v5e:2x2"], "topolgy"),
        ([SLICE, "extra"], "'extra' is not a flag"),
        ([SLICE, "--jobs=0"], "jobs"),
        ([SLICE, "--execute", "--execute_replicas=0"], "execute_replicas"),
        (["--execute", "--config.global_batch_size=30"], "(4): take 28 or 32"),
        (
            [SLICE, "--output=/proc/no/report.json"],
            "/proc/no/report.json cannot be",
        ),
        ([SLICE, "--output=/proc"], "/proc cannot be written"),
        (
            [SLICE, "--html=/proc/no/page.html"],
            "/proc/no/page.html cannot be",
        ),
        (
            [SLICE, "--output=/proc/report.json"],
            "/proc/report.json cannot be written",
        ),
        (
            [SLICE, "--output=a", "--html=./a"],
            "--output and --html are both ./a",
        ),
        ([SLICE, "--num_classes=-3"], "num_classes"),
        ([SLICE, "--train_examples=-10"], "train_examples"),
        ([SLICE, "--hlo=/proc/no"], "Cannot write under /proc/no"),
        (
            [SLICE, "--image_shape=3,3"],
            "do not describe data; give all three",
        ),
        (
            [SLICE, "--image_shape=a,b,c", "--num_classes=2"],
            "do not describe data",
        ),
        ([SLICE, "--num_classes=2"], "do not describe data; give all three"),
        (
            [
                *(SLICE, "--image_shape=0,8,1"),
                *("--num_classes=2", "--train_examples=9"),
            ],
            "do not describe data",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(small, monkeypatch, arguments, words):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.7")
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])
    assert words in refused(small, *arguments)


def test_data_of_an_unknown_shape_are_refused_with_the_flags_that_help():
    line = refused(
        RESNET, SLICE, "--config.data.name=mine", "--config.data.dir=/nowhere"
    )
    assert "--image_shape=H,W,C, --num_classes=K and --train_examples=N" in line


def test_no_recipe_is_refused_in_one_line():
    assert "No recipe" in refused(SLICE)


def _missing(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_libtpu_the_line_that_installs_it(small, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", _missing)
    assert "libtpu.lock" in refused(small, SLICE)


def test_a_model_that_does_not_lower_is_told_by_layer_and_operation(small, monkeypatch):
    broken = odd_model(in_python)
    whole = build.recipe

    def with_broken_model(*arguments):
        return dataclasses.replace(
            whole(*arguments),
            network=broken,
            augmentation=fixtures.no_augmentation(
                lambda images, draws: images[:, :6, :6] / 255
            ),
        )

    monkeypatch.setattr(build, "recipe", with_broken_model)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.7")
    line = refused(small, SLICE)
    assert "EagerPyFunc in my_layer" in line and "Replace that layer" in line
