"""The range in which a model is fed its images: what the config and its file say."""

from collections.abc import Mapping
from typing import Any

import keras
import ml_collections
from absl import logging

from sam_pod import errors
from sam_pod.data.augment import ranges
from sam_pod.input_range import evidence
from sam_pod.input_range.looks import Pixels
from sam_pod.models import keras_applications

KEY = "model.input_range"
AUTO = "auto"


def check_names(config: ml_collections.ConfigDict) -> None:
    """Refuse a range that is none, or contradicts `data.standardize`.

    Raises:
        UserError: with the key.
    """
    name = config.model.input_range
    errors.lookup(dict.fromkeys((AUTO, *ranges.NAMES)), name, KEY)
    if config.data.standardize and name not in (AUTO, ranges.STANDARDIZED):
        raise errors.UserError(
            f"`{KEY}` is {name!r} and `data.standardize` True, which is the range "
            f"'standardized': set `data.standardize` to False, or `{KEY}` to 'auto'."
        )


def decide(
    config: ml_collections.ConfigDict,
    model: keras.Model,
    data: Pixels,
    *,
    is_file: bool,
    stored: Mapping[str, Any] | None = None,
) -> ranges.Range:
    """Return in what range a model is fed, and say so in a line.

    Args:
        config: A validated config.
        model: The model as it was built.
        data: Shape and statistics of the data's images.
        is_file: Whether the model is the user's own, which may scale images itself.
        stored: The decision made when the run began, which holds; None before.

    Raises:
        UserError: `data.standardize` asks for another range than the file needs, or
            a channel of data to be standardized never varies.
    """
    why, is_certain = "", True
    if stored is not None and config.model.input_range == AUTO:
        name = stored.get(KEY) or _usual(config)
        if name not in ranges.NAMES:
            raise errors.UserError(
                f"The workdir says that `{KEY}` was decided to be {str(name)[:40]!r}; "
                f"it must be one of {', '.join(ranges.NAMES)}: put back what was "
                "written, or give another --workdir."
            )
    else:
        name, why, is_certain = _decide(config, model, data, is_file)
    if name == ranges.STANDARDIZED and min(data.std) <= 0:
        key = "data.standardize" if config.data.standardize else KEY
        remedy = "False" if config.data.standardize else "'unit'"
        raise errors.UserError(
            f"`{key}` asks for standardized images, but a channel of the data never "
            f"varies (its deviations are {data.std}): set it to {remedy}."
        )
    found = ranges.Range(name, data.mean, data.std)
    if why:
        level = logging.INFO if is_certain else logging.WARNING
        logging.log(
            level,
            "%s is fed %s (`%s` %r): %s.",
            config.model.name,
            found.text,
            KEY,
            name,
            why,
        )
    return found


def _usual(config: ml_collections.ConfigDict) -> str:
    """Return the range for models that do not scale and for runs of older versions."""
    return ranges.STANDARDIZED if config.data.standardize else ranges.UNIT


def _decide(
    config: ml_collections.ConfigDict,
    model: keras.Model,
    data: Pixels,
    is_file: bool,
) -> tuple[str, str, bool]:
    """Return the name, why (or '', where nothing is to be said), and how sure."""
    name, standardizes = config.model.input_range, config.data.standardize
    if name != AUTO:
        return name, "", True
    usual = _usual(config)
    if not is_file:
        return usual, "", True
    found = evidence.find(model, data)
    if found.name is None and keras_applications.is_name(config.model.name):
        return usual, "", True  # Its weights are new, and wait for no range.
    if found.name is None:
        return usual, found.why, found.is_plain
    if standardizes and found.name != ranges.STANDARDIZED:
        raise errors.UserError(
            f"`data.standardize` is True, but {config.model.name} takes "
            f"{ranges.Range(found.name).text} ({found.why}): set `data.standardize` to "
            f"False, or `{KEY}` to 'standardized' if it is meant."
        )
    return found.name, found.why, True
