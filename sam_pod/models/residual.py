"""The layers of residual networks, in one dtype policy and with one initializer."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from sam_pod.models import batch_norm


def blocks(in_groups: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (group, block, stride): each group but the first begins with a stride of 2.

    Args:
        in_groups: The number of blocks of each group.
    """
    for group, count in enumerate(in_groups):
        for block in range(count):
            yield group, block, 2 if group and not block else 1


@dataclasses.dataclass(frozen=True)
class Layers:
    """Make layers on tensors `[B, H, W, C]`; convolutions have no biases.

    Strided windows lie as Keras' 'same' has them: for even images the padding of a
    3 x 3 is one pixel below and on the right, as in Flax, where PyTorch pads each side.
    """

    policy: str  # 'float32' or 'mixed_bfloat16'.
    kernels: dict[str, Any]  # An initializer of convolutions, as Keras serializes it.
    momentum: float = 0.9  # Of BatchNorm: that of the papers' code, not Keras'.
    epsilon: float = 1e-5
    has_norm: bool = True

    @property
    def compute_dtype(self) -> str:
        """The type of activations."""
        return keras.DTypePolicy(self.policy).compute_dtype

    def convolution(
        self,
        x: keras.KerasTensor,
        filters: int,
        size: int,
        stride: int = 1,
        padding: str = "same",
    ) -> keras.KerasTensor:
        """Return a convolution."""
        return keras.layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding=padding,
            use_bias=False,
            # Built here: one object would draw the same numbers for each layer.
            kernel_initializer=keras.initializers.get(self.kernels),
            dtype=self.policy,
        )(x)

    def normalize(
        self, x: keras.KerasTensor, *, relu: bool = True, gamma: str = "ones"
    ) -> keras.KerasTensor:
        """Return BatchNorm, where there is one, and then ReLU, where asked for."""
        if self.has_norm:
            x = batch_norm.FusedBatchNormalization(
                momentum=self.momentum,
                epsilon=self.epsilon,
                gamma_initializer=gamma,
                dtype=self.policy,
            )(x)
        return self.relu(x) if relu else x

    def relu(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return what is positive."""
        return keras.layers.ReLU(dtype=self.policy)(x)

    def add(self, x: keras.KerasTensor, y: keras.KerasTensor) -> keras.KerasTensor:
        """Return the sum."""
        return keras.layers.Add(dtype=self.policy)([x, y])

    def pool(self, x: keras.KerasTensor, size: int, stride: int) -> keras.KerasTensor:
        """Return the mean over windows; over what of them lies in the image."""
        if (size, stride) == (1, 1):
            return x
        return keras.layers.AveragePooling2D(
            size, stride, padding="same", dtype=self.policy
        )(x)

    def pad_channels(self, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        """Return x with channels of zeros behind its own, `channels` in all."""
        more = channels - x.shape[-1]
        if not more:
            return x
        # Keras' own layer, so that it can be exported: it pads the last two axes.
        return keras.layers.ZeroPadding2D(
            ((0, 0), (0, more)), data_format="channels_first", dtype=self.policy
        )(x)

    def logits(
        self, x: keras.KerasTensor, num_classes: int, kernels: Any
    ) -> keras.KerasTensor:
        """Return the logits of mean activations, float32.

        Args:
            x: Activations.
            num_classes: The number of classes.
            kernels: The initializer of the last layer; its biases are 0.
        """
        x = keras.layers.GlobalAveragePooling2D(dtype=self.policy)(x)
        return keras.layers.Dense(
            num_classes, kernel_initializer=kernels, dtype="float32"
        )(x)


def fan_out() -> dict[str, Any]:
    """Return the initializer of the SAM paper's code: normal, not truncated."""
    return keras.initializers.serialize(
        keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    )


def fan_in() -> dict[str, Any]:
    """Return He's initializer: normal, not truncated."""
    return keras.initializers.serialize(
        keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    )


def paper_head(num_classes: int) -> keras.initializers.Initializer:
    """Return the last layer's initializer of the SAM paper's code.

    It is uniform in [-1, 1] / sqrt(K), K being the classes and not the inputs.
    """
    end = num_classes**-0.5
    return keras.initializers.RandomUniform(-end, end)
