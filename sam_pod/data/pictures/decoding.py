"""How the bytes of a picture become pixels, wherever a picture is read.

`pictures` gives the pixels that a picture of a source is meant to show, whatever its
kind; `decode` gives those that training sees of a stored picture. They are the same for
nearly all pictures, and `prepare` stores the others so that they are (`storable`).

An image is decoded to the same pixels on any machine.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from sam_pod.data.pictures import careful, headers, signatures
from sam_pod.data.pictures import rules as rules_lib

CHUNK = 64  # Images that are decoded by one call, where they are small.
CHUNK_BYTES = 1 << 20  # Encoded images of one call; larger ones are decoded one by one.


def pictures(
    contents: Sequence[bytes],
    channels: int,
    rules: rules_lib.PictureRules = rules_lib.DEFAULT,
) -> Iterator[careful.Picture]:
    """Yield each picture of a source, decoded, in order.

    Args:
        contents: Files of any kind.
        channels: The number of channels: 1 for grey or 3 for colours.
        rules: The decisions for what pictures do not say.
    """
    if all(map(headers.is_plain, contents)):
        found = decode(contents, channels)
        for content, pixels in zip(contents, found, strict=True):
            if pixels is None:
                yield careful.decode(content, channels, rules)
            else:
                yield careful.Picture(pixels)
        return
    for content in contents:
        if headers.is_plain(content) and (image := _one(content, channels)) is not None:
            yield careful.Picture(image)
        else:
            yield careful.decode(content, channels, rules)


def storable(content: bytes, pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return a picture that training sees right, and what it then sees.

    Args:
        content: The bytes of a picture that needed care.
        pixels: The pixels that it is meant to show.

    Returns:
        The same bytes where TensorFlow decodes them to the same pixels; else a PNG.
    """
    channels = pixels.shape[2]
    seen = _one(content, channels)
    if is_same(seen, pixels):
        return content, seen
    return tf.io.encode_png(pixels).numpy(), pixels


def is_same(seen: np.ndarray | None, meant: np.ndarray) -> bool:
    """Return whether TensorFlow's pixels are those that are meant."""
    if seen is None or seen.shape != meant.shape:
        return False
    # Two libraries may round grey of colours to either side.
    most = 1 if meant.shape[2] == 1 else 0
    return bool((np.abs(seen.astype(np.int16) - meant) <= most).all())


def misread(content: bytes, channels: int) -> str:
    """Return why training cannot see a stored picture right; '' where it does."""
    if headers.is_plain(content) and (channels > 1 or not _is_cmyk(content)):
        return ""
    picture = careful.decode(content, channels, rules_lib.DEFAULT)
    if picture.pixels is None:
        return picture.fault
    if is_same(_one(content, channels), picture.pixels):
        return ""
    how = _WHY.get(picture.steps[0] if picture.steps else "", "")
    name = signatures.kind_of(content).name
    return f"is {name}{how}, which TensorFlow does not read right by itself"


def _is_cmyk(content: bytes) -> bool:
    """Return whether it is a JPEG of four components, never grey to TensorFlow."""
    if not headers.is_jpeg(content):
        return False
    frame = headers.frame(content)
    return frame is not None and frame.components == 4


_WHY = {
    careful.TURNED: " that its EXIF data turn",
    careful.OPAQUE: " with transparency",
}


def decode(contents: Sequence[bytes], channels: int) -> Iterator[np.ndarray | None]:
    """Yield what training sees of stored images: uint8 `[H, W, C]`, in order.

    An image that cannot be decoded gives None.
    """
    kinds = {headers.is_jpeg(content) for content in contents}
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
        yield _one(content, channels)


def _one(content: bytes, channels: int) -> np.ndarray | None:
    decoder = _compiled(1, headers.is_jpeg(content), channels)
    try:
        return decoder(tf.constant([content]))[0].numpy()
    except tf.errors.OpError:
        return None


@functools.cache
def _compiled(size: int, is_jpeg: bool, channels: int) -> Callable[[tf.Tensor], list]:
    """Return a function of `size` images.

    Without a loop and a choice in the graph it takes half the time for small images.
    """

    @tf.function(input_signature=[tf.TensorSpec([size], tf.string)])
    def decode_all(contents: tf.Tensor) -> list[tf.Tensor]:
        how = jpeg if is_jpeg else other
        return [how(content, channels) for content in tf.unstack(contents)]

    return decode_all


def jpeg(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the pixels of a JPEG, uint8 `[H, W, C]`, in a graph."""
    return tf.io.decode_jpeg(content, channels, dct_method=careful.DCT)


def jpeg_part(content: tf.Tensor, window: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the part y, x, height, width of a JPEG, in a graph."""
    return tf.image.decode_and_crop_jpeg(
        content, window, channels, dct_method=careful.DCT
    )


def other(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the pixels of an image that is no JPEG, uint8 `[H, W, C]`, in a graph."""
    image = tf.io.decode_image(content, channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])


def whole(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the pixels of any stored image, uint8 `[H, W, C]`, in a graph."""
    return tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.ensure_shape(jpeg(content, channels), [None, None, channels]),
        lambda: other(content, channels),
    )


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
