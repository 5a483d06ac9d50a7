"""ResNet v1.5 against its description in NumPy."""

import numpy as np

from sam_pod.models import resnet_imagenet
from tests.models import numpy_layers
from tests.models.numpy_layers import largest, relu


def resnet50(w, x):
    kernel, *_ = w.next(numpy_layers.CONVOLUTION)
    x = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    x = largest(relu(w.norm(numpy_layers.conv(x, kernel, 2, same=False))))
    for group, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            stride = 2 if group and not block else 1
            y = relu(w.norm(w.conv(x)))
            y = relu(w.norm(w.conv(y, stride)))
            y = w.norm(w.conv(y))
            if not block:
                x = w.norm(w.conv(x, stride))
            x = relu(y + x)
    return w.head(x)


def test_it_strides_in_the_3_x_3_and_its_blocks_begin_as_identities():
    model = resnet_imagenet.build((32, 32, 3), 5, "float32", depth=50, width=2)
    gammas = [v.numpy() for v in model.trainable_variables if v.name == "gamma"]
    assert sum(not gamma.any() for gamma in gammas) == 16
    numpy_layers.assert_alike(numpy_layers.filled(model), resnet50)
