"""WideResNets against the SAM paper's code, written again in NumPy."""

import numpy as np
import pytest

from sam_pod.models import wide_resnet
from tests.models import numpy_layers
from tests.models.numpy_layers import halved, padded, relu


def reference(shortcut, normalization, blocks, width):
    def network(w, x):
        def activated(x):
            return relu(w.norm(x) if normalization == "batch" else x)

        x = w.conv(x)
        for group in range(3):
            for block in range(blocks):
                stride = 2 if group and not block else 1
                y = activated(x)
                if not block and (not group or shortcut == "projection"):
                    x = y
                y = w.conv(activated(w.conv(y, stride)))
                if not block and shortcut == "projection":
                    x = w.conv(x, stride)
                elif not block:
                    x = padded(halved(x) if stride == 2 else x, (16 << group) * width)
                x = x + y
        return w.head(activated(x))

    return network


@pytest.mark.parametrize(
    ("shortcut", "normalization"), [("pad", "batch"), ("projection", "none")]
)
def test_networks_are_those_of_the_papers_code(shortcut, normalization):
    ways = {"shortcut": shortcut, "normalization": normalization}
    model = wide_resnet.build((8, 8, 3), 5, "float32", depth=16, width=2, **ways)
    numpy_layers.assert_alike(
        numpy_layers.filled(model), reference(**ways, blocks=2, width=2)
    )


def test_odd_images_keep_their_last_row_and_column():
    model = wide_resnet.build((7, 9, 1), 5, "float32", depth=10, width=1)
    x = numpy_layers.images((7, 9, 1))
    moved = x.copy()
    moved[:, -1, -1] += 1
    assert np.abs(np.asarray(model(x)) - np.asarray(model(moved))).max() > 1e-3


def test_initial_weights_have_the_spread_of_the_papers_code():
    model = wide_resnet.build((8, 8, 3), 4, "float32", depth=10, width=4)
    kernels = [v.numpy() for v in model.trainable_variables if len(v.shape) == 4]
    for kernel in kernels[1:]:
        expected = (2 / (9 * kernel.shape[3])) ** 0.5
        np.testing.assert_allclose(kernel.std(), expected, rtol=0.03)
        assert np.abs(kernel).max() > 3 * expected  # Not truncated.
    dense = model.trainable_variables[-2].numpy()
    assert 0.49 < np.abs(dense).max() <= 0.5  # 1 / sqrt(4), whatever comes in.
    assert not model.trainable_variables[-1].numpy().any()
