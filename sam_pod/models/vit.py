"""Vision transformers of arXiv 2010.11929 as big_vision has them, GSAM's code with it.

Parameters for 1,000 classes and images of 224 x 224 x 3:

    vit_ti16  5,717,032      vit_s32  22,878,184      vit_b32  88,222,696
                             vit_s16  22,049,896      vit_b16  86,566,120

Twelve blocks of pre-normalized attention and an MLP of four times the width; learned
positions, whose number follows the image's size; the mean of all tokens behind the last
LayerNorm, and no layer between that and the logits. Kernels of blocks are Xavier's
uniform, the last layer begins with zeros. There is no dropout.

What differs elsewhere: the paper's own networks take a class token in place of the mean
(two widths more of parameters: 22,050,664 for S/16), and so does timm, with the exact
GELU for the tanh of this one. big_vision begins the last biases at -10 for its sigmoid
loss; here they are 0, since a softmax is the same for both. Kernels alone decay, there
as here: no positions, and no biases of heads, though they have two axes.
"""

import keras

from sam_pod.models.attention import MultiHeadAttention
from sam_pod.models.layer_norm import LayerNormalization
from sam_pod.models.positions import Positions

SIZES = {"ti": (192, 3), "s": (384, 6), "b": (768, 12)}  # Width, heads.
_EPSILON = 1e-6


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    width: int,
    heads: int,
    patch: int,
    depth: int = 12,
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C), of which the patch divides the first two.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        width: Of a token, which `heads` divide.
        heads: Of attention.
        patch: Pixels of a patch's side.
        depth: The number of blocks.
    """
    images = keras.Input(image_shape)
    x = keras.layers.Conv2D(
        width, patch, patch, kernel_initializer="lecun_normal", dtype=dtype_policy
    )(images)
    x = keras.layers.Reshape((-1, width), dtype=dtype_policy)(x)
    x = Positions(dtype=dtype_policy)(x)
    for _ in range(depth):
        x = _block(x, heads, dtype_policy)
    x = _normalize(x, dtype_policy)
    x = keras.layers.GlobalAveragePooling1D(dtype=dtype_policy)(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer="zeros", dtype="float32"
    )(x)
    return keras.Model(images, logits, name="vit")


def _block(x: keras.KerasTensor, heads: int, policy: str) -> keras.KerasTensor:
    width = x.shape[-1]
    y = _normalize(x, policy)
    # Xavier's of a matrix [width, width], which Keras would not see in three axes.
    end = (3 / width) ** 0.5
    y = MultiHeadAttention(
        heads,
        width // heads,
        kernel_initializer=keras.initializers.RandomUniform(-end, end),
        dtype=policy,
    )(y, y)
    x = keras.layers.Add(dtype=policy)([x, y])
    y = _dense(_normalize(x, policy), 4 * width, policy)
    y = _dense(keras.ops.gelu(y, approximate=True), width, policy)
    return keras.layers.Add(dtype=policy)([x, y])


def _dense(x: keras.KerasTensor, width: int, policy: str) -> keras.KerasTensor:
    return keras.layers.Dense(
        width,
        kernel_initializer="glorot_uniform",
        bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
        dtype=policy,
    )(x)


def _normalize(x: keras.KerasTensor, policy: str) -> keras.KerasTensor:
    return LayerNormalization(epsilon=_EPSILON, dtype=policy)(x)
