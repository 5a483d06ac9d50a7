"""Random parts of images with NumPy and Pillow, for contenders without TensorFlow."""

import math

import numpy as np
from PIL import Image


def crop_and_flip(image, random, padding=4):
    """Pad, cut the old size out at random, mirror half of the time."""
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    y, x = random.integers(0, 2 * padding + 1, 2)
    image = padded[y : y + image.shape[0], x : x + image.shape[1]]
    return np.ascontiguousarray(image[:, ::-1] if random.random() < 0.5 else image)


def part_and_flip(file, random, size):
    """Decode, cut Inception's part out, scale it, mirror half of the time."""
    image = Image.open(file).convert("RGB")
    box = part(*image.size, random)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[:, ::-1] if random.random() < 0.5 else pixels)


def part(width, height, random):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            x = int(random.integers(0, width - w + 1))
            y = int(random.integers(0, height - h + 1))
            return x, y, x + w, y + h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side
