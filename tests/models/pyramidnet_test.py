"""PyramidNets against the SAM paper's code, written again in NumPy."""

import numpy as np
import pytest

from sam_pod.models import gates, pyramidnet
from tests.models import numpy_layers
from tests.models.numpy_layers import halved, padded, relu


def reference(widths, has_bottlenecks, keeps):
    """Return the network with these widths; `keeps` scale blocks in evaluation."""

    def network(w, x):
        x = w.norm(w.conv(x))
        for number, keep in enumerate(keeps):
            stride = 2 if number in (len(keeps) // 3, len(keeps) * 2 // 3) else 1
            if has_bottlenecks:
                y = w.conv(w.norm(x))
                y = w.conv(relu(w.norm(y)), stride)
            else:
                y = w.conv(w.norm(x), stride)
            y = w.norm(w.conv(relu(w.norm(y))))
            out = widths[number] * (4 if has_bottlenecks else 1)
            x = padded(halved(x) if stride == 2 else x, out) + keep * y
        return w.head(relu(w.norm(x)))

    return network


@pytest.mark.parametrize(
    ("has_bottlenecks", "ways", "widths", "keeps"),
    [
        (True, {}, (18, 19, 20), (5 / 6, 2 / 3, 1 / 2)),
        (False, {"widths": "truncate"}, (17, 19, 20), (1, 1, 1)),
        (False, {"shake_drop": "on"}, (18, 19, 20), (5 / 6, 2 / 3, 1 / 2)),
    ],
)
def test_networks_are_those_of_the_papers_code(has_bottlenecks, ways, widths, keeps):
    model = pyramidnet.build(
        *((8, 8, 3), 5, "float32"),
        depth=11 if has_bottlenecks else 8,
        alpha=4.5,  # Widths of 17.5, 19 and 20.5, both halves rounded to even.
        has_bottlenecks=has_bottlenecks,
        **ways,
    )
    numpy_layers.assert_alike(
        numpy_layers.filled(model), reference(widths, has_bottlenecks, keeps)
    )


def test_each_name_has_the_shake_drop_of_its_papers_table():
    for has_bottlenecks, way, count in (
        (True, "auto", 3),
        (True, "off", 0),
        (False, "auto", 0),
        (False, "on", 3),
    ):
        small = {"depth": 11 if has_bottlenecks else 8, "alpha": 3}
        with numpy_layers.shapes_alone():
            model = pyramidnet.build(
                *((8, 8, 3), 5, "float32"),
                has_bottlenecks=has_bottlenecks,
                shake_drop=way,
                **small,
            )
        keeps = [layer.keep for layer in gates.of(model)]
        np.testing.assert_allclose(keeps, [5 / 6, 2 / 3, 1 / 2][:count])
