"""ResNets for small images against the papers' description in NumPy."""

import numpy as np
import pytest

from sam_pod.models import resnet_cifar
from tests.models import numpy_layers
from tests.models.numpy_layers import padded, relu


def reference(shortcut, widths, blocks, stem):
    """Return He's network: BatchNorm after each convolution, ReLU after the sum."""

    def network(w, x):
        x = relu(w.norm(w.conv(x)))
        assert x.shape[-1] == stem
        for group, width in enumerate(widths):
            for block in range(blocks):
                stride = 2 if group and not block else 1
                y = relu(w.norm(w.conv(x, stride)))
                y = w.norm(w.conv(y))
                if stride == 2 and shortcut == "projection":
                    x = w.norm(w.conv(x, 2))
                elif stride == 2:
                    x = padded(x[:, ::2, ::2], width)
                x = relu(y + x)
        return w.head(x)

    return network


@pytest.mark.parametrize(
    ("shortcut", "shape"), [("pad", (7, 9, 1)), ("projection", (8, 8, 3))]
)
def test_he_networks_are_those_of_section_4_2(shortcut, shape):
    model = resnet_cifar.build_he(shape, 5, "float32", depth=14, shortcut=shortcut)
    numpy_layers.assert_alike(
        numpy_layers.filled(model), reference(shortcut, (16, 32, 64), 2, 16)
    )


def test_resnet18_has_projections_and_a_small_stem():
    model = resnet_cifar.build_18((8, 8, 3), 5, "float32", width=4)
    numpy_layers.assert_alike(
        numpy_layers.filled(model), reference("projection", (4, 8, 16, 32), 2, 4)
    )


def test_no_two_layers_begin_alike_and_their_spread_is_hes():
    model = resnet_cifar.build_he((8, 8, 3), 5, "float32", depth=14)
    kernels = [v.numpy() for v in model.trainable_variables if len(v.shape) == 4]
    alike = [k for k in kernels if k.shape == (3, 3, 16, 16)]
    assert len(alike) == 4
    assert all(np.abs(alike[0] - other).max() > 0.1 for other in alike[1:])
    for kernel in kernels[-2:]:
        np.testing.assert_allclose(
            kernel.std(), (2 / np.prod(kernel.shape[:3])) ** 0.5, rtol=0.02
        )
