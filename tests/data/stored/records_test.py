import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.stored import records

SHAPE = (7, 5, 3)


def make_images():
    return np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_parse_is_the_inverse_of_encode(wrap):
    images = make_images()
    serialized = [records.encode(image, i) for i, image in enumerate(images)]
    parse = wrap(lambda batch: records.parse(batch, SHAPE))
    parsed, labels = parse(tf.constant(serialized))
    assert (parsed.dtype, labels.dtype) == (tf.uint8, tf.int32)
    np.testing.assert_array_equal(parsed, images)
    np.testing.assert_array_equal(labels, range(4))


def test_the_bytes_are_those_of_the_wire_format_with_keys_in_order():
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    image = field(1, field(1, bytes(range(60))))  # Feature.bytes_list.value
    label = field(3, field(1, b"\5"))  # Feature.int64_list.value, packed
    features = field(1, field(1, b"image") + field(2, image))
    features += field(1, field(1, b"label") + field(2, label))
    encoded = records.encode(np.arange(60, dtype=np.uint8).reshape(5, 4, 3), 5)
    assert encoded == field(1, features)


def test_a_view_in_another_memory_order_is_the_same_image():
    image = make_images()[0]
    assert records.encode(np.asfortranarray(image), 5) == records.encode(image, 5)


def test_encoded_bytes_and_a_true_label_are_kept_as_they_are():
    encoded = records.encode(b"a jpeg", 5, true_label=2)
    parsed = tf.io.parse_example([encoded], records.features(is_noisy=True))
    assert {name: list(value.numpy()) for name, value in parsed.items()} == {
        "image": [b"a jpeg"],
        "label": [5],
        "true_label": [2],
    }
