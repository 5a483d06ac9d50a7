"""Mixing two examples into one, and labels that are more than one class.

Partners are neighbours, rows 2i and 2i + 1 of the global batch: its order is a shuffle
already, and they are on one replica and in one micro-batch as long as those are of
even size. Nothing is sent, and N replicas mix what one does. A pair shares its draws.
"""

import functools

import numpy as np
import scipy.special
import tensorflow as tf

from sam_pod.data.augment import erasing

# (images, soft labels, uniform [B, DRAWS]) -> (images, soft labels).
DRAWS = 4  # Share, row, column; which of two ways of mixing.
_QUANTILES = 4096


def soften(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Return int32 `[B]` as float32 `[B, K]`: 1 for the class, 0 for the others."""
    return tf.one_hot(labels, num_classes, dtype=tf.float32)


def smooth(labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Share a part among all classes evenly (arXiv 1512.00567, section 7).

    float32 `[B, K]` -> `[B, K]`.
    """
    return labels * (1.0 - smoothing) + smoothing / labels.shape[1]


def mixup(
    images: tf.Tensor, labels: tf.Tensor, uniform: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each example with its partner: mixup, arXiv 1710.09412.

    Args:
        images: float32 `[B, H, W, C]`, B even.
        labels: float32 `[B, K]`.
        uniform: `[B, DRAWS]` in [0, 1).
        alpha: The parameter of Beta(alpha, alpha), from which the shares are drawn.
    """
    share = _of_pair(tf.gather(_beta(alpha), _quantile(uniform)))
    wide = share[:, None, None, None]
    return (
        images * wide + partners(images) * (1.0 - wide),
        _blend(labels, share),
    )


def cutmix(
    images: tf.Tensor, labels: tf.Tensor, uniform: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Paste a box of the partner into each example: CutMix, arXiv 1905.04899.

    The box has 1 - s of the area, with s from Beta(alpha, alpha), and its centre
    anywhere; labels mix by the area that is inside the image. It takes the arguments of
    `mixup`.
    """
    _, height, width, _ = images.shape
    sides = np.sqrt(1.0 - _beta(alpha))  # The box's, as parts of the image's.
    boxes = np.stack([sides * height, sides * width], 1).astype(np.int32)
    box = _of_pair(tf.gather(boxes, _quantile(uniform)))
    centre = _of_pair(tf.cast(uniform[:, 1:3] * [height, width], tf.int32))
    low = tf.maximum(centre - box // 2, 0)
    high = tf.minimum(centre - box // 2 + box, [height, width])
    (top, left), (bottom, right) = (
        [side[:, None, None] for side in tf.unstack(corner, axis=1)]
        for corner in (low, high)
    )
    pasted = erasing.within(top, left, bottom, right, height, width)[..., None]
    area = tf.reduce_prod(high - low, 1)
    share = 1.0 - tf.cast(area, tf.float32) / (height * width)
    return tf.where(pasted, partners(images), images), _blend(labels, share)


def either(
    images: tf.Tensor,
    labels: tf.Tensor,
    uniform: tf.Tensor,
    mixup_alpha: float,
    cutmix_alpha: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Let each pair draw mixup or CutMix, one as likely as the other (as timm does)."""
    first = mixup(images, labels, uniform, mixup_alpha)
    second = cutmix(images, labels, uniform, cutmix_alpha)
    chosen = _of_pair(uniform[:, 3]) < 0.5
    return (
        tf.where(chosen[:, None, None, None], first[0], second[0]),
        tf.where(chosen[:, None], first[1], second[1]),
    )


def partners(values: tf.Tensor) -> tf.Tensor:
    """Swap rows 2i and 2i + 1."""
    pairs = tf.reshape(values, [values.shape[0] // 2, 2, *values.shape[1:]])
    return tf.reshape(tf.reverse(pairs, [1]), values.shape)


def _of_pair(values: tf.Tensor) -> tf.Tensor:
    """Give both rows of a pair the value of the first."""
    return tf.repeat(values[::2], 2, axis=0)


def _blend(labels: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return labels * share[:, None] + partners(labels) * (1.0 - share[:, None])


def _quantile(uniform: tf.Tensor) -> tf.Tensor:
    return tf.cast(uniform[:, 0] * _QUANTILES, tf.int32)


@functools.cache
def _beta(alpha: float) -> np.ndarray:
    """Return quantiles of Beta(alpha, alpha), the middles of equal parts, float32.

    A uniform number picks one by its place: an XLA device has no sampler of Beta, and
    rejection would need a loop.
    """
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return scipy.special.betaincinv(alpha, alpha, middles).astype(np.float32)
