"""The result of a run: what ends it, and how it is read."""

import json

import pytest

from sam_pod import errors
from sam_pod.run import result_file


def test_result(tmp_path):
    assert result_file.read(str(tmp_path)) is None
    result = {"test_accuracy": 0.5, "test_loss": 2.0}
    result_file.write(str(tmp_path), result)
    assert result_file.read(str(tmp_path)) == result
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_a_result_without_its_keys_says_how_to_have_it_again(tmp_path):
    for result in ({}, {"test_accuracy": "x", "test_loss": 1}, {"test_accuracy": 1.0}):
        result_file.write(str(tmp_path), result)
        with pytest.raises(
            errors.UserError, match=r"`test_\w+` in it is .*: delete it"
        ):
            result_file.read(str(tmp_path))


def test_steps_of_weights_are_those_of_their_epochs():
    result = {"steps": 40, "epochs": 4, "best_epoch": 3}
    assert result_file.steps_of(result) == {"last": 40, "best": 30}
    assert result_file.steps_of(result | {"best_epoch": 0}) == {"last": 40}
    assert result_file.steps_of({"best_epoch": 3}) == {}
