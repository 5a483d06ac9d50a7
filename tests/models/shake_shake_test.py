"""Shake-Shake against the SAM paper's code, written again in NumPy."""

import numpy as np

from sam_pod.models import shake_shake
from tests.models import numpy_layers
from tests.models.numpy_layers import relu


def network(w, x):
    x = w.norm(w.conv(x))
    for group in range(3):
        for block in range(2):
            stride = 2 if group and not block else 1
            branches = []
            for _ in range(2):
                y = relu(w.norm(w.conv(relu(x), stride)))
                branches.append(w.norm(w.conv(y)))
            if not block:
                shifted = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
                halves = [w.conv(half[:, ::stride, ::stride]) for half in (x, shifted)]
                x = w.norm(np.concatenate(halves, -1))
            x = x + sum(branches) / 2
    return w.head(relu(x))


def test_it_is_that_of_the_papers_code():
    model = shake_shake.build((8, 8, 3), 5, "float32", width=4, blocks=2)
    numpy_layers.assert_alike(numpy_layers.filled(model), network)
