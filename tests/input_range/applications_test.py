"""Networks of keras.applications whose files say nothing of the range of images."""

import keras
import pytest

from sam_pod.input_range import applications, evidence
from tests.input_range.evidence_test import PIXELS

L = keras.layers
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def base():
    return keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=SHAPE, alpha=0.35
    )


@pytest.fixture
def pixels():
    return PIXELS._replace(shape=SHAPE)


def on_top_of(base, *before):
    x = images = keras.Input(SHAPE)
    for layer in before:
        x = layer(x)
    x = L.GlobalAveragePooling2D()(base(x))
    return keras.Model(images, L.Dense(10)(x))


def test_a_network_that_leaves_scaling_to_its_caller_is_warned_of(base, pixels):
    found = evidence.find(on_top_of(base), pixels)
    assert found.name is None
    assert not found.is_plain
    assert "keras.applications.mobilenet_v2.preprocess_input" in found.why
    assert "set it to 'symmetric'" in found.why


def test_with_its_preprocessing_in_the_file_it_is_in_no_doubt(base, pixels):
    scales = keras.applications.mobilenet_v2.preprocess_input
    assert evidence.find(on_top_of(base, scales), pixels).name == "bytes"


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("resnet50", "resnet", "save the file with that"),
        ("resnet152_1", "resnet", "save the file with that"),
        ("resnet101v2", "resnet_v2", "'symmetric'"),
        ("vgg16", "vgg16", "save the file with that"),
        ("densenet169", "densenet", "save the file with that"),
        ("mobilenet_1.00_224", "mobilenet", "'symmetric'"),
        ("mobilenetv2_1.40_224_2", "mobilenet_v2", "'symmetric'"),
        ("xception", "xception", "'symmetric'"),
        ("NASNet", "nasnet", "'symmetric'"),
    ],
)
def test_each_is_known_by_its_name(name, module, remedy):
    layers = [keras.Input(SHAPE), L.Flatten()]
    hint = applications.hint(keras.Sequential(layers, name=name))
    assert f"keras.applications.{module}.preprocess_input" in hint
    assert remedy in hint
    assert hasattr(getattr(keras.applications, module), "preprocess_input")


@pytest.mark.parametrize("name", ["resnet20", "functional", "my_resnet50", "vgg16net"])
def test_other_names_say_nothing(name):
    net = keras.Sequential([keras.Input(SHAPE), L.Flatten(name="resnet50")], name=name)
    assert not applications.hint(net)
