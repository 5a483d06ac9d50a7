"""What the file of a model with layers of a user's own does not hold of them.

Keras saves the variables of the layers that it finds as attributes of a layer, and in
lists and dicts there, but to 3.12 not in lists within lists
(findings/layers_in_nested_lists.sh). What it does not save would begin with new values
in each process, and be missing in the file of the trained model.
"""

import os
import tempfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import calls, network, normalization
from sam_pod.storage import faults


def check(
    path: str,
    model: keras.Model,
    image_shape: tuple[int, int, int],
    load: Callable[[bytes], keras.Model],
) -> None:
    """Refuse a model that is not all in its file.

    Args:
        path: The name of the file.
        model: The model, as it was read.
        image_shape: (H, W, C) of its images.
        load: A function that reads a model from the content of a file.

    Raises:
        UserError: a variable does not come back from a file, or a layer makes other
            values each time it is read.
    """
    values = [variable.numpy() for variable in model.variables]
    # Others than a new layer begins with.
    changed = [np.asarray(value + np.ones_like(value)) for value in values]
    try:
        _assign(model, changed)
        again = load(_file(model))
    except (errors.UserError, faults.StorageLost):
        raise
    except Exception:
        return  # It cannot be saved again, which its training does not need.
    finally:
        _assign(model, values)
    if (count := len(again.variables)) != len(values):
        raise errors.UserError(
            f"{path} has {len(values)} variables, and {count} when it is saved and "
            "read again: let its layers make theirs in __init__ or build, and save it "
            "again."
        )
    for variable, value, found in zip(
        model.variables, changed, again.variables, strict=True
    ):
        if network.is_seed(variable):
            continue  # A step has seeds of its own.
        if not np.array_equal(value, found.numpy()):
            raise errors.UserError(
                f"{path} does not hold {variable.path}, nor would the trained model's "
                "file: Keras saves layers that are attributes of a layer, or in a list "
                "or dict there, not in lists within lists. Keep them so, and save the "
                "model again."
            )
    _assign(again, values)
    normalization.Normalizations(again).finalize()
    images = tf.random.stateless_uniform([4, *image_shape], [0, 0])
    _check_answers(path, images, model, again)


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _file(model: keras.Model) -> bytes:
    with faults.explained(tempfile.gettempdir()), tempfile.TemporaryDirectory() as at:
        name = os.path.join(at, "model.keras")
        model.save(name)
        with open(name, "rb") as file:
            return file.read()


def _answer(model: keras.Model, images: tf.Tensor) -> np.ndarray:
    with keras.StatelessScope(calls.moved(model)):  # What it writes is not kept.
        outputs = tf.nest.flatten(model.call(images, training=False))
    return np.concatenate([np.ravel(tf.cast(each, tf.float32)) for each in outputs])


def _check_answers(
    path: str, images: tf.Tensor, model: keras.Model, again: keras.Model
) -> None:
    """Compare what the two, which have the same values, make of images."""
    try:
        one, twice, other = (_answer(each, images) for each in (model, model, again))
    except Exception:
        return  # What is wrong is said where it is called as training does.
    if not np.array_equal(one, twice):
        return  # So is what draws whenever it is called.
    if not np.allclose(one, other, rtol=1e-3, atol=1e-5):
        raise errors.UserError(
            f"{path} answers otherwise each time it is read: a layer makes values "
            "that are not in the file, such as random ones. Keep them in a weight "
            "(add_weight, trainable=False), and save the model again."
        )
