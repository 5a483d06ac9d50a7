"""Decoding images when a data set is prepared: many at a time, any format.

An image is decoded to the same pixels on any machine.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

CHUNK = 64  # Images that are decoded by one call, where they are small.
CHUNK_BYTES = 1 << 20  # Of encoded images; more of them are decoded one by one.


def decode(contents: Sequence[bytes], channels: int) -> Iterator[np.ndarray | None]:
    """Yield the uint8 images `[H, W, C]` in order; None for what cannot be decoded."""
    kinds = {_is_jpeg(content) for content in contents}
    is_whole = len(contents) == CHUNK and sum(map(len, contents)) <= CHUNK_BYTES
    if is_whole and len(kinds) == 1:
        try:
            images = _compiled(CHUNK, kinds.pop(), channels)(tf.constant(contents))
        except tf.errors.OpError:
            pass  # Which of them is it?
        else:
            yield from (image.numpy() for image in images)
            return
    for content in contents:
        one = _compiled(1, _is_jpeg(content), channels)
        try:
            yield one(tf.constant([content]))[0].numpy()
        except tf.errors.OpError:
            yield None


def _is_jpeg(content: bytes) -> bool:
    return content[:3] == b"\xff\xd8\xff"


@functools.cache
def _compiled(size: int, is_jpeg: bool, channels: int) -> Callable[[tf.Tensor], list]:
    """Return a function of `size` images.

    Without a loop and a choice in the graph it takes half the time for small ones.
    """

    @tf.function(input_signature=[tf.TensorSpec([size], tf.string)])
    def decode_all(contents: tf.Tensor) -> list[tf.Tensor]:
        return [_decode(content, is_jpeg, channels) for content in tf.unstack(contents)]

    return decode_all


def _decode(content: tf.Tensor, is_jpeg: bool, channels: int) -> tf.Tensor:
    if is_jpeg:
        # The default method may give other pixels on another processor.
        return tf.io.decode_jpeg(content, channels, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_image(content, channels, expand_animations=False)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Return the central square of an image, `[size, size, C]`.

    The shorter side becomes `size` (bilinear, antialiased) before the longer is cut.
    """
    height, width, _ = image.shape
    shorter = min(height, width)
    new = [max(size, round(side * size / shorter)) for side in (height, width)]
    scaled = image
    if new != [height, width]:
        scaled = tf.image.resize(image, new, antialias=True).numpy()
    top, left = (new[0] - size) // 2, (new[1] - size) // 2
    square = scaled[top : top + size, left : left + size]
    return np.clip(np.rint(square), 0, 255).astype(np.uint8)
