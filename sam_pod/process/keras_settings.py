"""Keras' settings: a run has its own, whatever keras.json or a user's code sets.

Keras reads the file when it is imported. Its settings would change the layers of a run
without a word in the run's config.
"""

import json
import os

from absl import logging

from sam_pod import errors

IMAGE_DATA_FORMAT, FLOATX, EPSILON = "channels_last", "float32", 1e-7
_VALUES = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


def check_file() -> None:
    """Refuse a keras.json with which Keras cannot be imported.

    Raises:
        UserError: naming the file, its key and what it may hold.
    """
    folder = os.environ.get("KERAS_HOME") or "~/.keras"
    path = os.path.join(os.path.expanduser(folder), "keras.json")
    if not os.path.exists(path):
        return
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError:  # Keras takes it for none.
        return
    except (OSError, RecursionError) as error:
        raise _unreadable(path, errors.reason(error)) from error
    if not isinstance(content, dict):
        raise _unreadable(path, "it holds no JSON object")
    for key, known in _VALUES.items():
        if key in content and content[key] not in known:
            raise _unreadable(
                path, f"its {key} is {content[key]!r}, not one of {known}"
            )
    if not isinstance(content.get("epsilon", EPSILON), float):
        raise _unreadable(path, f"its epsilon is {content['epsilon']!r}, no fraction")


def _unreadable(path: str, why: str) -> errors.UserError:
    return errors.UserError(
        f"Keras cannot start with {path} ({why}): correct the file or delete it."
    )


def settle() -> None:
    """Give Keras the settings that every run has, and log those that were different."""
    import keras

    config = keras.config
    others = []
    for name, ours, value, set_to in (
        (
            "image_data_format",
            IMAGE_DATA_FORMAT,
            config.image_data_format(),
            config.set_image_data_format,
        ),
        ("floatx", FLOATX, config.floatx(), config.set_floatx),
        ("epsilon", EPSILON, config.epsilon(), config.set_epsilon),
    ):
        if value != ours:
            others.append(f"{name} {value!r} ({ours!r} here)")
            set_to(ours)
    if others:
        logging.info(
            "Keras' settings, such as in a keras.json, do not count in a run: %s.",
            ", ".join(others),
        )
