"""The first page of a run: its config, its weights, the first examples it sees."""

import functools
from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from sam_pod.data.input import pipeline
from sam_pod.input_range import first_layer
from sam_pod.run import contact_sheet, writers
from sam_pod.run import inputs as inputs_lib
from sam_pod.step import passes
from sam_pod.step.recipe import Recipe


def draft(
    config: ml_collections.ConfigDict,
    split: pipeline.Split,
    recipe: Recipe,
    classes: Sequence[str],
    writer: writers.Writer,
) -> Callable[[], None]:
    """Look at the first examples of a run, and return what writes its first page.

    Args:
        config: A validated config.
        split: The split that it trains on.
        recipe: The parts of its step.
        classes: The names of the classes.
        writer: The writer of the page.

    Raises:
        UserError: an example cannot be read.
    """
    first = _first_examples(config, split, recipe)
    return functools.partial(_write, config, recipe, classes, writer, first.examples)


def nothing() -> None:
    """Write no first page: there is one, or another worker writes it."""


def _first_examples(
    config: ml_collections.ConfigDict, split: pipeline.Split, recipe: Recipe
) -> contact_sheet.First:
    """Return the first examples of a run; warn where a model cannot learn from them."""

    def first_rows() -> np.ndarray:
        return pipeline.training_rows(
            split,
            global_batch_size=config.global_batch_size,
            seed=config.seed,
            step=0,
        )

    naming = inputs_lib.naming_faults(split, first_rows)
    with inputs_lib.explaining(config.data.dir), naming:
        first = contact_sheet.first(recipe, split, config.global_batch_size)
    first_layer.check(recipe, first.images, first.examples.images, config.model.name)
    return first


def _write(
    config: ml_collections.ConfigDict,
    recipe: Recipe,
    classes: Sequence[str],
    writer: writers.Writer,
    examples: passes.Examples,
) -> None:
    writer.setup(config, recipe.network.initial_weights())
    writer.contact_sheet(*contact_sheet.make(recipe, examples, classes))
