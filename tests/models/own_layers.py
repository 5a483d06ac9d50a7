"""Models with layers of a user's own, in files, and processes that do not know them."""

import sys

import keras
import pytest

SHAPE = (8, 8, 3)
L = keras.layers


def save(folder, layer, name="m.keras", head="glorot_uniform"):
    images = keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(layer(images))
    x = L.Dense(5, kernel_initializer=head)(x)
    path = str(folder / name)
    keras.Model(images, x).save(path)
    return path


@pytest.fixture(autouse=True)
def forget():
    """Let each test begin as a new process does, which has imported nothing."""
    before, registered = set(sys.modules), dict(keras.saving.get_custom_objects())
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(registered)


def as_new():
    for name in [n for n in sys.modules if n.startswith("own_")]:
        del sys.modules[name]
    for key in [k for k in keras.saving.get_custom_objects() if "Own" in k]:
        del keras.saving.get_custom_objects()[key]
