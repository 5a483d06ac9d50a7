"""Models of `keras.applications` by name give what Keras' own give."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.input_range import decision, looks
from sam_pod.models import table
from tests.models import numpy_layers


def test_the_network_is_keras_own_with_logits_in_place_of_a_softmax():
    net = table.build("keras:MobileNet", (32, 32, 3), 5, seed=3)
    own = keras.applications.MobileNet(weights=None, classes=5, input_shape=(32, 32, 3))
    own.set_weights(net.model.get_weights())
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    weights, stats = net.initial_weights(), net.initial_stats()
    found = net.apply([*map(tf.constant, weights.values())], [*stats.values()], images)
    expected = own(images, training=False)
    np.testing.assert_allclose(tf.nn.softmax(found.logits), expected, rtol=1e-4)
    assert not net.draws_by_batch  # Its dropout draws by row.


def test_bfloat16_is_for_all_layers_but_the_last():
    with numpy_layers.shapes_alone():
        net = table.build("keras:ResNet50V2", (32, 32, 1), 5, dtype="bfloat16")
    *layers, last = net.model.layers[1:]
    assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
    assert last.compute_dtype == "float32"
    assert {v.dtype for v in net.model.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("keras:resnet50", "has no 'resnet50'; did you mean 'keras:ResNet50'"),
        ("keras:EfficientNetV2", r"did you mean 'keras:EfficientNetV2\w+'\?$"),
        ("keras:", r"has no ''; it has ConvNeXtBase, .*Xception\.$"),
        ("keras:backend", "has no 'backend'"),
    ],
)
def test_a_name_that_keras_has_not_is_refused(name, message):
    for refuse in (table.check_name, lambda name: table.build(name, (32, 32, 3), 5)):
        with pytest.raises(errors.UserError, match=message) as raised:
            refuse(name)
        assert "\n" not in str(raised.value)


def test_images_that_are_too_small_are_refused_by_the_least_size():
    with pytest.raises(errors.UserError, match=r"of 32 x 32 x 3: .*75x75.*; set `data"):
        table.build("keras:InceptionV3", (32, 32, 3), 5)
    table.check_name("keras:InceptionV3")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"), [("EfficientNetV2B0", "bytes"), ("ResNet50", "unit")]
)
def test_its_range_is_what_its_front_makes_of_images(name, expected, caplog):
    config = keys.defaults()
    config.model.name = f"keras:{name}"
    model = table.build(config.model.name, (32, 32, 3), 5).model
    data = looks.Pixels((32, 32, 3), (0.5,) * 3, (0.25,) * 3)
    assert decision.decide(config, model, data, is_file=True).name == expected
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
