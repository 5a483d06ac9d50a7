"""The trainer's flags: what they set, what is refused, and the help."""

import pytest

from sam_pod import errors
from sam_pod.config import command_line
from tests import runs

RECIPE = str(runs.ROOT / "configs" / "resnet20.py")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No recipe"),
        (["--config=none.py"], "No recipe at 'none.py'"),
        ([f"--config={RECIPE}:digitz"], "Did you mean 'digits'"),
        ([f"--config={RECIPE}", "--config.sam.roh=1"], "nearest is `sam.rho`"),
        ([f"--config={RECIPE}", "--config.sma.rho=1"], "nearest is `sam.rho`"),
        ([f"--config={RECIPE}", "--config.sam.rho=big"], "--config.sam.rho=big"),
        ([f"--config={RECIPE}", "--config.sam.rho=-1"], "must be 0 or above"),
        ([f"--config={RECIPE}", "--wrokdir=x"], "Did you mean: workdir"),
        ([f"--config={RECIPE}", "extra"], "'extra' is not a flag"),
    ],
)
def test_bad_flags_are_refused_in_one_line(capsys, arguments, message):
    """Without a process each: they are refused before TensorFlow is imported."""
    with pytest.raises(errors.UserError) as raised:
        command_line.parse(["sam_pod", *arguments])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    del capsys


def test_flags_take_effect():
    values, recipe = command_line.parse(
        ["sam_pod", f"--config={RECIPE}:sgd", "--config.sam.rho=0", "--tpu", "local"]
    )
    assert (values.config.sam.rho, values.tpu) == (0.0, "local")
    assert values.config.optimizer.name == "sgd"
    assert recipe == f"{RECIPE}:sgd"
    values, _ = command_line.parse(
        ["sam_pod", "--config", RECIPE, "--config.data.dir", "/x y"]
    )
    assert values.config.data.dir == "/x y"


def test_help_lists_the_keys(capsys):
    with pytest.raises(SystemExit) as raised:
        command_line.parse(["sam_pod", "--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    for word in ("--workdir", "--tpu", "--config.sam.rho=0.05", "42"):
        assert word in text


def test_help_of_a_group_explains_its_keys_alone(capsys):
    with pytest.raises(SystemExit) as raised:
        command_line.parse(["sam_pod", "--help=sam"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert "--config.sam.rho=0.05\n      Radius of the ascent" in text
    assert "Must be 0 or above." in text
    assert "--config.seed" not in text
    with pytest.raises(errors.UserError, match=r"must be one of .*Did you mean 'sam'"):
        command_line.parse(["sam_pod", "--help=san"])
