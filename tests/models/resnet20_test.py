"""ResNet20 has the seed's parameters, and its layers in the seed's order."""

import keras
import pytest

from sam_pod.models import pointwise, resnet20


@pytest.mark.parametrize("dtype_policy", ["float32", "mixed_bfloat16"])
def test_parameter_counts(dtype_policy):
    model = resnet20.build((32, 32, 3), 10, dtype_policy)
    trainable = sum(v.numpy().size for v in model.trainable_variables)
    statistics = sum(v.numpy().size for v in model.non_trainable_variables)
    assert (trainable, statistics, model.count_params()) == (571_114, 4_000, 575_114)
    assert {v.dtype for v in model.variables} == {"float32"}
    assert model.output.dtype == "float32"
    assert model.output.shape == (None, 10)


@pytest.mark.parametrize("dtype_policy", ["float32", "mixed_bfloat16"])
def test_groups_widths_and_strides(dtype_policy):
    model = resnet20.build((32, 32, 3), 10, dtype_policy)
    kernels = [
        (layer.filters, layer.kernel_size[0], layer.strides[0])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert len(kernels) == 1 + 3 * 7
    assert kernels[0] == (16, 3, 1)
    assert [k for k in kernels if k[1] == 3][1:] == [
        (16, 3, 1),
        (16, 3, 1),
        (64, 3, 2),
        (64, 3, 1),
        (128, 3, 2),
        (128, 3, 1),
    ]
    shortcuts = [
        (layer.filters, layer.strides, layer.cuts_for)
        for layer in model.layers
        if isinstance(layer, pointwise.StridedPointwiseConv2D)
    ]
    second = "output" if dtype_policy == "float32" else "kernel_gradient"
    assert shortcuts == [(128, (2, 2), "output"), (256, (2, 2), second)]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 20
