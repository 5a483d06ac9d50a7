"""Vision transformers against their description in NumPy."""

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.models import positions, table, vit
from tests.models import numpy_layers


def network(w, x):
    kernel, bias = w.next(numpy_layers.CONVOLUTION)
    patches = x.reshape(len(x), 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    x = patches.reshape(len(x), 6, -1) @ kernel.reshape(-1, 8) + bias
    x = x + w.next(positions.Positions)[0]
    for _ in range(2):
        x = x + w.attention(w.layer_norm(x))
        y = w.dense(w.layer_norm(x))
        y = y * (1 + np.tanh((2 / np.pi) ** 0.5 * (y + 0.044715 * y**3))) / 2
        x = x + w.dense(y)
    return w.dense(w.layer_norm(x).mean(1))


def build(**more):
    sizes = {"width": 8, "heads": 2, "patch": 4, "depth": 2}
    return vit.build((8, 12, 3), 5, "float32", **{**sizes, **more})


def test_it_is_big_visions():
    numpy_layers.assert_alike(numpy_layers.filled(build()), network)


def test_initial_weights_have_the_spread_of_big_visions():
    model = build(width=64, heads=4, depth=1)
    names = {v.path: v.numpy() for v in model.trainable_variables}
    (place,) = (v for k, v in names.items() if k.endswith("alpha"))
    np.testing.assert_allclose(place.std(), 1 / 8, rtol=0.15)
    heads = [v for v in names.values() if len(v.shape) == 3]
    assert len(heads) == 4
    assert np.abs(heads[0] - heads[1]).max() > 0.1
    for kernel in heads:  # Uniform over the fans of a matrix 64 x 64.
        np.testing.assert_allclose(np.abs(kernel).max(), (6 / 128) ** 0.5, rtol=0.01)
    assert not model.trainable_variables[-2].numpy().any()


@pytest.mark.parametrize("shape", [(32, 40, 3), (40, 32, 3)])
def test_a_patch_that_does_not_divide_is_refused_with_a_size_that_does(shape):
    with pytest.raises(errors.UserError, match=r"patches of 16 x 16.* such as 32\.$"):
        table.build("vit_s16", shape, 5)
