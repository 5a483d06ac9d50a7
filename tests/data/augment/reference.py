"""The operations on whole numbers, one image and one pixel after the other, in NumPy.

Written from Pillow's sources, with exact fractions where Pillow has floats.
"""

import math
from fractions import Fraction

import numpy as np

GREY = 128


def blend(start, end, factor):
    """Blend.c: rounded towards zero when inside, clipped when beyond."""
    out = np.empty(end.shape, np.uint8)
    start = np.broadcast_to(start, end.shape)
    for i in np.ndindex(end.shape):
        value = int(start[i]) + factor * (int(end[i]) - int(start[i]))
        out[i] = min(max(math.floor(value), 0), 255)
    return out


def grey(image):
    if image.shape[2] == 1:
        return image.astype(int)
    r, g, b = image.astype(int).transpose(2, 0, 1)
    return ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16)[..., None]


def smooth(image):
    out = image.copy()
    height, width, channels = image.shape
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for c in range(channels):
                block = image[y - 1 : y + 2, x - 1 : x + 2, c].astype(int)
                total = int(block.sum()) + 4 * int(image[y, x, c])
                out[y, x, c] = math.floor(Fraction(total, 13) + Fraction(1, 2))
    return out


def autocontrast(image):
    out = image.copy()
    for c in range(image.shape[2]):
        low, high = int(image[..., c].min()), int(image[..., c].max())
        if high > low:
            for i in np.ndindex(image.shape[:2]):
                out[i][c] = (int(image[i][c]) - low) * 255 // (high - low)
    return out


def equalize(image):
    out = image.copy()
    for c in range(image.shape[2]):
        counts = np.bincount(image[..., c].ravel(), minlength=256)
        nonzero = [int(n) for n in counts if n]
        step = (sum(nonzero) - nonzero[-1]) // 255 if len(nonzero) > 1 else 0
        if not step:
            continue
        table, total = [], step // 2
        for count in counts:
            table.append(min(total // step, 255))
            total += int(count)
        out[..., c] = np.array(table)[image[..., c]]
    return out


def affine(image, a, b, c, d, e, f):
    """Geometry.c, affine_fixed, step by step."""

    def fix(value):
        return math.floor(value * 65536.0 + 0.5)

    height, width = image.shape[:2]
    out = np.full_like(image, GREY)
    x_row, y_row = fix(c + a * 0.5 + b * 0.5), fix(f + d * 0.5 + e * 0.5)
    for y in range(height):
        xx, yy = x_row, y_row
        for x in range(width):
            if 0 <= xx >> 16 < width and 0 <= yy >> 16 < height:
                out[y, x] = image[yy >> 16, xx >> 16]
            xx, yy = xx + fix(a), yy + fix(d)
        x_row, y_row = x_row + fix(b), y_row + fix(e)
    return out


def rotate(image, degrees):
    """Image.rotate: about the centre, counter-clockwise."""
    angle = -math.radians(degrees % 360)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    y, x = image.shape[0] / 2, image.shape[1] / 2
    return affine(
        image,
        cosine,
        sine,
        cosine * -x + sine * -y + x,
        -sine,
        cosine,
        -sine * -x + cosine * -y + y,
    )


def operation(image, name, level, sign, translation):
    """Do what a row of a policy says."""
    height, width = image.shape[:2]
    factor = Fraction(1, 10) + Fraction(18, 10) * Fraction(level, 10)
    shear = 0.3 * level / 10 * sign
    match name:
        case "Identity":
            return image
        case "ShearX":
            return affine(image, 1, shear, 0, 0, 1, 0)
        case "ShearY":
            return affine(image, 1, 0, 0, shear, 1, 0)
        case "TranslateX":
            pixels = sign * int(translation * width * level / 10)
            return affine(image, 1, 0, pixels, 0, 1, 0)
        case "TranslateY":
            pixels = sign * int(translation * height * level / 10)
            return affine(image, 1, 0, 0, 0, 1, pixels)
        case "Rotate":
            return rotate(image, sign * 3 * level)
        case "AutoContrast":
            return autocontrast(image)
        case "Invert":
            return 255 - image
        case "Equalize":
            return equalize(image)
        case "Solarize":
            threshold = 256 - 256 * level // 10
            return np.where(image < threshold, image, 255 - image).astype(np.uint8)
        case "Posterize":
            bits = 8 - 4 * level // 10
            return image & np.uint8(256 - 2 ** (8 - bits))
        case "Contrast":
            mean = math.floor(Fraction(int(grey(image).sum()), height * width) + 1 / 2)
            return blend(np.array(mean), image, factor)
        case "Color":
            return blend(grey(image), image, factor)
        case "Brightness":
            return blend(np.array(0), image, factor)
        case "Sharpness":
            return blend(smooth(image), image, factor)
    raise KeyError(name)
