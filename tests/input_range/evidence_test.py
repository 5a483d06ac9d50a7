"""The range that a model is made for is seen in what it does with its input."""

import keras
import numpy as np
import pytest

from sam_pod.input_range import evidence
from sam_pod.input_range.looks import Pixels

L = keras.layers
SHAPE = (8, 8, 3)
PIXELS = Pixels(SHAPE, (0.47, 0.45, 0.4), (0.25, 0.24, 0.26))
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def model(*front):
    images = x = keras.Input(SHAPE)
    for step in front:
        x = step(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x))
    return keras.Model(images, L.Dense(10)(x))


def normalization(scale=1.0):
    return L.Normalization(mean=MEAN * scale, variance=(STD * scale) ** 2)


def adapted(scale, shift):
    images = np.random.default_rng(0).normal(0.44, 0.25, (64, *SHAPE)).clip(0, 1)
    layer = L.Normalization()
    layer.adapt((images * scale + shift).astype(np.float32))
    return layer


def block(*layers):
    return keras.Sequential([keras.Input(SHAPE), *layers])


def preprocess_input(mode):
    return lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode=mode)


@pytest.mark.parametrize(
    ("expected", "front"),
    [
        ("bytes", [L.Rescaling(1 / 255)]),
        ("bytes", [L.Rescaling(1 / 127.5, offset=-1)]),
        ("bytes", [preprocess_input("caffe")]),
        ("bytes", [block(L.RandomFlip(), L.Rescaling(1 / 255))]),
        ("bytes", [L.RandomBrightness(0.2)]),
        ("bytes", [normalization(255)]),
        ("unit", [L.Rescaling(2, offset=-1)]),
        ("unit", [adapted(1, 0)]),
        ("unit", [lambda x: (x - MEAN) / STD]),
        ("symmetric", [lambda x: (x + 1) / 2]),
        ("symmetric", [L.RandomBrightness(0.2, (-1, 1))]),
        ("standardized", [adapted(4, -1.76)]),
    ],
)
def test_a_front_that_tells_a_range(expected, front):
    found = evidence.find(model(*front), PIXELS)
    assert (found.name, "its '" in found.why) == (expected, True), found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expected", "front"),
    [
        ("bytes", [L.Rescaling(1 / 128, offset=-1)]),
        ("bytes", [L.Rescaling([1 / 255, 1 / 255, 1 / 255], [-0.5, -0.4, -0.5])]),
        ("bytes", [lambda x: x / 255.0]),
        ("bytes", [lambda x: keras.ops.subtract(keras.ops.divide(x, 127.5), 1.0)]),
        ("bytes", [lambda x: 1 - keras.ops.true_divide(x, 255)]),
        ("bytes", [lambda x: x[..., ::-1], L.Rescaling(1 / 255)]),
        ("bytes", [L.Rescaling(1 / 255), normalization()]),
        ("bytes", [adapted(255, 0)]),
        ("bytes", [L.Rescaling(1 / 255), L.Normalization()]),  # As EfficientNet has it.
        ("bytes", [preprocess_input("tf")]),
        ("bytes", [preprocess_input("torch")]),
        ("bytes", [L.ZeroPadding2D(3), L.Rescaling(1 / 255), L.ZeroPadding2D(3)]),
        ("bytes", [L.Rescaling(1 / 255), L.Flatten(), L.Reshape((8, 8, 3))]),
        ("bytes", [L.RandomContrast(0.2), L.Rescaling(1 / 255)]),
        ("bytes", [L.Rescaling(1 / 255), L.RandomBrightness(0.2, (0, 1))]),
        ("bytes", [L.AutoContrast()]),
        ("bytes", [L.RandomPosterization(4)]),
        ("unit", [L.RandomBrightness(0.2, (0, 1))]),
        ("unit", [normalization()]),
        ("unit", [lambda x: x * 255, preprocess_input("caffe")]),
        ("unit", [lambda x: keras.ops.clip(x, 0.0, 1.0)]),
        ("symmetric", [lambda x: (x + 1) * 127.5]),
        ("symmetric", [adapted(2, -1)]),
    ],
)
def test_more_fronts_that_tell_a_range(expected, front):
    found = evidence.find(model(*front), PIXELS)
    assert (found.name, "its '" in found.why) == (expected, True), found


@pytest.mark.parametrize(
    "front",
    [
        [],
        [L.Normalization()],
        [L.BatchNormalization()],
        [L.RandomFlip(), L.RandomTranslation(0.1, 0.1), L.RandomContrast(0.2)],
        [lambda x: x * 255, L.Rescaling(1 / 255)],
        [L.LayerNormalization(axis=[1, 2, 3], center=False, scale=False)],
    ],
)
def test_a_front_that_leaves_images_or_takes_any_is_in_no_doubt(front):
    found = evidence.find(model(*front), PIXELS)
    assert found.name is None
    assert found.is_plain


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ([lambda x: x * 2], "made 0 to 2 of that, which shows no range"),
        ([L.Conv2D(3, 1), L.Rescaling(1 / 255)], "but behind layers with weights"),
        (
            [L.RandomBrightness(0.2, (0, 1)), L.RandomBrightness(0.2, (-1, 1))],
            "contradict each other",
        ),
        (
            [lambda x: keras.ops.mean(x, axis=0, keepdims=True)],
            "could not be looked into",
        ),
    ],
)
def test_a_front_in_doubt_says_so(front, why):
    found = evidence.find(model(*front), PIXELS)
    assert found.name is None
    assert not found.is_plain
    assert why in found.why
    assert "\n" not in found.why


def test_two_branches_that_want_different_ranges_are_in_doubt():
    images = keras.Input(SHAPE)
    parts = [L.Conv2D(4, 3)(L.Rescaling(s)(images)) for s in (1 / 255, 3.0)]
    x = L.GlobalAveragePooling2D()(L.Add()(parts))
    both = keras.Model(images, L.Dense(10)(x))
    assert evidence.find(both, PIXELS).name is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected", "arguments"),
    [
        ("EfficientNetB0", "bytes", {}),
        ("EfficientNetV2B0", "bytes", {}),
        ("EfficientNetV2S", "bytes", {}),
        ("EfficientNetV2B0", None, {"include_preprocessing": False}),
        ("MobileNetV3Small", "bytes", {}),
        ("MobileNetV3Small", None, {"include_preprocessing": False}),
        ("ConvNeXtTiny", "bytes", {}),
        ("ConvNeXtTiny", None, {"include_preprocessing": False}),
        ("MobileNetV2", None, {}),
        ("ResNet50", None, {}),
        ("VGG16", None, {}),
        ("DenseNet121", None, {}),
    ],
)
def test_keras_applications(name, expected, arguments):
    shape = (32, 32, 3)
    base = getattr(keras.applications, name)(
        weights=None, classes=10, input_shape=shape, **arguments
    )
    images = keras.Input(shape)
    nested = keras.Model(images, base(L.RandomFlip()(images)))
    for net in (base, nested):
        found = evidence.find(net, PIXELS._replace(shape=shape))
        assert found.name == expected
        leaves_it = name in ("MobileNetV2", "ResNet50", "VGG16", "DenseNet121")
        assert found.is_plain == (expected is None and not leaves_it)
        assert ("preprocess_input" in found.why) == leaves_it
