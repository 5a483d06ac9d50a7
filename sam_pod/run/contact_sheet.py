"""A picture of what training sees: the first examples of a run, augmented.

The host of the writer makes it, with the order, draws and functions of the compiled
step, which stays untouched. A device may round a float differently.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod.data.input import pipeline
from sam_pod.step import passes
from sam_pod.step.recipe import Recipe

NUM_EXAMPLES = 32  # At most.
_COLUMNS = 8
_MARGIN = 2  # Pixels of white between the images.
_SMALLEST = 64  # Pixels of a side; smaller images are enlarged.


class Sheet(NamedTuple):
    """A picture, and what is on it."""

    picture: np.ndarray  # [H, W, 3], float32 in [0, 1].
    labels: str  # A Markdown table of the same rows and columns.


class First(NamedTuple):
    """The first examples of a run."""

    images: tf.Tensor  # uint8 `[B, H, W, C]`, as they are stored.
    examples: passes.Examples  # As the first step sees them.


def first(recipe: Recipe, split: pipeline.Split, global_batch_size: int) -> First:
    """Return the first examples of a run.

    Args:
        recipe: The parts of the step.
        split: The split that it trains on.
        global_batch_size: The examples of a step over all replicas.
    """
    size = _num_examples(global_batch_size)
    if split.view.offsets:  # Read no more than is shown.
        view = dataclasses.replace(split.view, is_held=False)
        split = dataclasses.replace(split, view=view)
    batches = pipeline.training(
        split, global_batch_size=global_batch_size, seed=recipe.seed, start_step=0
    )(tf.distribute.InputContext(num_replicas_in_sync=global_batch_size // size))
    batch = next(iter(batches))
    examples = passes.augmented(
        batch.images,
        batch.labels,
        tf.range(size, dtype=tf.int64),
        global_batch_size,
        step=tf.constant(0, tf.int64),
        recipe=recipe,
    )
    return First(batch.images, examples)


def make(recipe: Recipe, examples: passes.Examples, classes: Sequence[str]) -> Sheet:
    """Return examples as a step of the recipe sees them, with the classes' names."""
    images = recipe.input_range.to_unit(examples.images).numpy()
    return Sheet(grid(images), table(examples.labels.numpy(), classes))


def _num_examples(global_batch_size: int) -> int:
    """Return the most examples that divide the batch: an even number, for pairs."""
    divisors = [
        n
        for n in range(1, min(NUM_EXAMPLES, global_batch_size) + 1)
        if global_batch_size % n == 0
    ]
    return max([n for n in divisors if n % 2 == 0] or divisors)


def grid(images: np.ndarray) -> np.ndarray:
    """Return images, float `[N, H, W, C]`, in rows on white: `[H', W', 3]`."""
    count, height, width, _ = images.shape
    scale = math.ceil(_SMALLEST / max(height, width))
    images = np.broadcast_to(images, (count, height, width, 3)).clip(0, 1)
    images = images.repeat(scale, 1).repeat(scale, 2)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    step_y, step_x = height * scale + _MARGIN, width * scale + _MARGIN
    sheet = np.ones((rows * step_y, columns * step_x, 3), np.float32)
    for i, image in enumerate(images):
        y, x = i // columns * step_y, i % columns * step_x
        sheet[y : y + step_y - _MARGIN, x : x + step_x - _MARGIN] = image
    return sheet[:-_MARGIN, :-_MARGIN]


def table(labels: np.ndarray, classes: Sequence[str]) -> str:
    """Return labels, int `[N]` or float `[N, K]`, as a Markdown table."""
    cells = [_cell(label, classes) for label in labels]
    columns = min(_COLUMNS, len(cells))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    rows[-1] += [""] * (columns - len(rows[-1]))
    lines = [[""] * columns, ["---"] * columns, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(label: np.ndarray, classes: Sequence[str]) -> str:
    if not label.shape:
        return classes[int(label)]
    # The part that all classes have comes from smoothing; the rest is the examples'.
    largest = np.argsort(-label, kind="stable")[:2]
    shown = [i for i in largest if label[i] > label.min() + 1e-3]
    return " + ".join(f"{label[i]:.2f} {classes[i]}" for i in shown or largest)
