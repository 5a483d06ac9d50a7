"""A contact sheet of a prepared data set: a row of images for each of some classes."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from sam_pod.data.inspect import survey
from sam_pod.data.pictures import decoding
from sam_pod.data.stored import manifest as manifest_lib

_TILE, _GAP, _TEXT = 64, 4, 150  # Pixels of an image, a gap and the names.


def draw(
    manifest: manifest_lib.Manifest, samples: Mapping[int, Sequence[bytes]]
) -> bytes:
    """Return a PNG of images as they are stored, by label; a broken one is a cross.

    Small images are enlarged without smoothing, so that a pixel stays one.
    """
    step = _TILE + _GAP
    size = (_TEXT + survey.SAMPLES * step + _GAP, len(samples) * step + _GAP)
    sheet = PIL.Image.new("RGB", size, "white")
    pen, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(13)
    for row, (label, images) in enumerate(samples.items()):
        top = row * step + _GAP
        name = manifest.classes[label]
        while pen.textlength(name, font) > _TEXT - 2 * _GAP:
            name = f"{name[:-2]}\u2026"
        pen.text((_GAP, top + _TILE // 2 - 8), name, "black", font)
        for column, pixels in enumerate(_decoded(manifest, images)):
            left = _TEXT + column * step
            if pixels is None:
                corners = (left, top, left + _TILE - 1, top + _TILE - 1)
                pen.rectangle(corners, outline="red")
                pen.line(corners, "red")
            else:
                sheet.paste(_tile(pixels), (left, top))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _decoded(
    manifest: manifest_lib.Manifest, images: Sequence[bytes]
) -> list[np.ndarray | None]:
    if manifest.image_encoding == "encoded":
        return list(decoding.decode(images, manifest.image_shape[2]))
    return [
        np.frombuffer(image, np.uint8).reshape(manifest.image_shape) for image in images
    ]


def _tile(pixels: np.ndarray) -> PIL.Image.Image:
    """Return an image on a white square."""
    # Both modes of Pillow have 1 or 3 channels; show the first.
    gray = pixels.shape[2] != 3
    image = PIL.Image.fromarray(pixels[..., 0] if gray else pixels).convert("RGB")
    scale = _TILE / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    how = PIL.Image.Resampling.NEAREST if scale > 1 else PIL.Image.Resampling.BOX
    tile = PIL.Image.new("RGB", (_TILE, _TILE), "white")
    tile.paste(image.resize(size, how), tuple((_TILE - side) // 2 for side in size))
    return tile
