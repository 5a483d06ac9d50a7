"""Keras' settings outside of a run have no say in it, or are refused in one line."""

import json

import keras
import pytest

from sam_pod import errors
from sam_pod.models import table
from sam_pod.process import keras_settings


def write(folder, monkeypatch, text):
    (folder / "keras.json").write_text(text)
    monkeypatch.setenv("KERAS_HOME", str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it holds no JSON object"),
        ({"floatx": "bfloat16"}, "its floatx is 'bfloat16', not one of"),
        ({"image_data_format": "NHWC"}, "its image_data_format is 'NHWC'"),
        ({"epsilon": 1}, "its epsilon is 1, no fraction"),
        ({"epsilon": "1e-7"}, "its epsilon is '1e-7'"),
    ],
)
def test_a_file_with_which_keras_cannot_start_is_refused(
    tmp_path, monkeypatch, content, message
):
    write(tmp_path, monkeypatch, json.dumps(content))
    with pytest.raises(errors.UserError, match=message) as raised:
        keras_settings.check_file()
    assert "correct the file or delete it" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON, which Keras takes for no file",
        '{"floatx": "float64", "image_data_format": "channels_first", "epsilon": 0.1}',
        '{"backend": "jax"}',
        "{}",
    ],
)
def test_a_file_with_which_keras_starts_is_left_alone(tmp_path, monkeypatch, text):
    write(tmp_path, monkeypatch, text)
    keras_settings.check_file()


def test_no_file_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "none"))
    keras_settings.check_file()


def test_a_model_is_built_by_the_settings_of_every_run(caplog):
    expected = table.build("resnet20", (8, 8, 1), 10)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-3)
    caplog.set_level("INFO", "absl")
    built = table.build("resnet20", (8, 8, 1), 10)
    assert keras.config.image_data_format() == "channels_last"
    assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-7)
    (line,) = [r.getMessage() for r in caplog.records if "settings" in r.message]
    assert "image_data_format 'channels_first' ('channels_last' here)" in line
    assert "floatx 'float16'" in line and "epsilon 0.001" in line
    for one, other in zip(built.model.layers, expected.model.layers, strict=True):
        a, b = one.get_config(), other.get_config()
        assert a.pop("name") and b.pop("name")
        assert a == b
