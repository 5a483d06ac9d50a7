"""Models that another Keras makes, with what it predicts.

WITH=keras|tf_keras PYTHONPATH=PACKAGES:ROOT python -m tests.models.elsewhere FOLDER
"""

import importlib
import os
import pathlib
import sys
from types import ModuleType

import numpy as np

SHAPE = (8, 8, 3)


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(4, *SHAPE)).astype("float32")


def functional(keras: ModuleType):
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(
        4,
        3,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer="l2",
    )(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Add()([layers.Dropout(0.1)(x), layers.Conv2D(4, 1)(x)])
    x = layers.SeparableConv2D(6, 3, activation="swish")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(layers.LayerNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU(max_value=6.0)(x))
    x = layers.Dense(7, activation="gelu")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def sequential(keras: ModuleType):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.InputLayer(SHAPE),
            layers.Rescaling(2.0, -1.0),
            layers.RandomFlip(),
            layers.RandomRotation(0.1),
            layers.RandomContrast(0.1),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(),
            layers.MaxPooling2D(),
            layers.Conv2DTranspose(3, 2),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


def nested(keras: ModuleType):
    layers = keras.layers
    inputs, inner = keras.Input(SHAPE), keras.Input((5,))
    x = sequential(keras)(inputs)
    parts = [
        keras.Model(inner, layers.Dense(5, name="d")(inner), name=name) for name in "gh"
    ]
    return keras.Model(inputs, layers.Average()([parts[0](x), *(p(x) for p in parts)]))


def branches(keras: ModuleType):
    """Layers of one class and shape side by side, which differ by their order alone."""
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(2):
        left = layers.Conv2D(4, 3, padding="same")(x)
        left = layers.Conv2D(4, 3, padding="same", activation="relu")(left)
        right = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.Subtract()([layers.Conv2D(4, 3, padding="same")(right), left])
    outputs = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5)(outputs))


def attention(keras: ModuleType):
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Dense(8)(layers.Reshape((64, 3))(inputs))
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.GRU(4, return_sequences=True)(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Bidirectional(layers.LSTM(3))(x)))


def functions(keras: ModuleType):
    """Functions of TensorFlow between layers, which tf.keras 2 keeps as layers."""
    import tensorflow as tf

    layers = keras.layers
    inputs = keras.Input(SHAPE)
    first = layers.Conv2D(4, 3, padding="same", name="with/slash")(inputs / 0.5 - 1.0)
    x = layers.Conv2D(4, 3, padding="same")(tf.nn.relu6(first))
    x = layers.ReLU(max_value=2.0)(1.0 - x * first)
    return keras.Model(inputs, layers.Dense(5)(tf.reduce_mean(x, [1, 2])))


MODELS = [functional, sequential, nested, branches, attention]


def write(folder: pathlib.Path, keras: ModuleType) -> None:
    folder.mkdir()
    # MultiHeadAttention of tf.keras 2 is refused: Keras 3 builds it otherwise.
    is_old = keras.__name__ == "tf_keras"
    for make in [*MODELS[:-1], functions] if is_old else MODELS:
        keras.utils.set_random_seed(0)
        model = make(keras)
        rng = np.random.default_rng(1)
        for variable in model.trainable_weights:
            variable.assign(rng.uniform(-0.5, 0.9, variable.shape).astype("float32"))
        outputs = np.asarray(model(images(), training=False))
        np.save(folder / f"{make.__name__}.npy", outputs)
        model.save(folder / f"{make.__name__}.keras")
        if make in (functional, branches):  # 3.0 writes none for others.
            np.save(folder / f"{make.__name__}_h5.npy", outputs)
            model.save(folder / f"{make.__name__}_h5.h5")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]), importlib.import_module(os.environ["WITH"]))
