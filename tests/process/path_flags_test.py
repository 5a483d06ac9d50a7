"""`~` is a home folder in every path that a user gives, whoever expands it."""

import os
import pwd

import pytest

from launch import checks
from launch.gke import __main__ as gke
from sam_pod import errors
from sam_pod.config import command_line, keys
from sam_pod.data.inspect import __main__ as inspect
from sam_pod.data.prepare import flags
from sam_pod.export import __main__ as export
from sam_pod.machines import accelerators
from sam_pod.preflight import __main__ as preflight_main
from sam_pod.process import path_flags
from tests import runs

RECIPE = f"--config={runs.ROOT / 'configs' / 'resnet20.py'}"
NOBODY = "~nobody-of-this-name/x"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize(
    "path", ["", "x", "./~", "a/~/b", "/a~b", "x~", "gs://bucket/~", "s3://b/~x"]
)
def test_other_paths_stay_as_they_are(home, path):
    assert path_flags.expand(path) == path
    del home


def test_own_home_and_that_of_others(home):
    assert path_flags.expand("~") == home
    assert path_flags.expand("~/a b/~c") == f"{home}/a b/~c"
    root = pwd.getpwuid(0)
    assert path_flags.expand(f"~{root.pw_name}/x") == os.path.join(root.pw_dir, "x")


def test_a_home_that_is_not_known_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"no user 'nobody-of.*\./~nobody-of"):
        path_flags.expand(NOBODY)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)
    with pytest.raises(ValueError, match="set HOME"):
        path_flags.expand("~/x")


def flags_of(values, *names):
    return [values[name].value for name in names]


def test_every_flag_and_key_that_is_a_path_takes_it(home):
    values, _ = command_line.parse(
        ["main", RECIPE, "--workdir=~/w", "--config.data.dir=~/d"]
    )
    assert flags_of(values, "workdir") == [f"{home}/w"]
    assert values.config.data.dir == f"{home}/d"
    values, _ = command_line.parse(["main", RECIPE, "--config.model.name", "~/m.keras"])
    assert values.config.model.name == f"{home}/m.keras"
    values = export.parse(["export", "--workdir=~/w", "--output=~/e", "--data_dir=~/d"])
    assert flags_of(values, "workdir", "output", "data_dir") == [
        f"{home}/{name}" for name in "wed"
    ]
    argv = ["--dataset=images", "--source=~/s", "--output", "~/o", "--labels=~/l"]
    values = flags.parse(["prepare", *argv], ["images"], "")
    assert flags_of(values, "source", "output", "labels") == [
        f"{home}/{name}" for name in "sol"
    ]
    values = preflight_main._define()
    values(["preflight", "--output=~/o", "--html=~/h", "--hlo=~/l"])
    assert flags_of(values, "output", "html", "hlo") == [
        f"{home}/{name}" for name in "ohl"
    ]


def test_a_recipe_lies_there_and_names_paths_there(home):
    with open(f"{home}/recipe.py", "w") as file:
        file.write(
            "import ml_collections\ndef get_config(variant):\n"
            "    return ml_collections.ConfigDict({'data': {'dir': '~/d'}})\n"
        )
    values, _ = command_line.parse(["main", "--config=~/recipe.py"])
    assert values.config.data.dir == f"{home}/d"


def test_inspect_takes_it(home, capsys):
    assert inspect.main(["inspect", "~/set"]) == 1
    assert f"No data set at '{home}/set'" in capsys.readouterr().err
    assert inspect.main(["inspect", NOBODY]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "argument",
    [
        f"--workdir={NOBODY}",
        f"--config.data.dir={NOBODY}",
        f"--config.model.name={NOBODY}",
        f"--config={NOBODY}",
    ],
)
def test_a_user_who_is_not_there_is_one_line(argument):
    with pytest.raises(errors.UserError, match="no user 'nobody-of-this-name'") as told:
        command_line.parse(["main", RECIPE, argument])
    assert argument.partition("=")[0].removeprefix("--config.") in str(told.value)
    assert "\n" not in str(told.value)


def test_paths_of_other_machines_are_not_expanded_here(home, capsys):
    chip = accelerators.parse("v5litepod-4")
    words = ["--workdir=~/w", "--config.data.dir=~/d"]
    sent = checks.trainer_arguments([RECIPE, *words], chip)
    assert sent[1:] == tuple(words)
    assert "`data.dir` is ~/d: of the home folder there." in capsys.readouterr().err
    for key, value in (("config.data.dir", "~/d"), ("config.model.name", "~/m.keras")):
        code = gke.main(
            [
                *("gke", "--name=a", "--accelerator_type=v5litepod-4", "--image=a/b:1"),
                *("--workdir=gs://b/w", "--", RECIPE, "--config.data.dir=gs://b/d"),
                f"--{key}={value}",
            ]
        )
        assert code == 1
        assert "another home folder" in capsys.readouterr().err
    del home


def test_every_key_that_says_path_is_one():
    assert keys.flatten(keys.defaults()).keys() >= keys.PATH_KEYS
