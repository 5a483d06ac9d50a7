"""The manifest.json of an exported folder, which says how to call what is in it."""

from typing import Any

import jaxlib

from sam_pod.config import keys as config_lib
from sam_pod.data import augment
from sam_pod.data.augment import ranges
from sam_pod.data.input import dataset
from sam_pod.export import keras_models, plain_keras
from sam_pod.lowering.programs import Program, Tensor
from sam_pod.models import own_code
from sam_pod.run import result
from sam_pod.run.trained import Trained
from sam_pod.sam.variant import PLAIN
from sam_pod.step import metrics
from sam_pod.step.recipe import Recipe

SCHEMA_VERSION = 1
# The first with full promises of compatibility; jaxlib 0.4.34 knows 0.9.0 to 1.7.5.
STABLEHLO_VERSION = "1.0.0"

FILE, VALUES = "manifest.json", "values.npz"
# TensorFlow Serving takes the folder above, in which each version has a folder.
SAVED_MODEL, KERAS_FILE = "saved_model/1", "model.keras"
_STATE = {"step", "weights", "stats", "slots", "learning_rate_scale", "memory"}
_INSIDE = ["scale", "standardize"]


def program_file(name: str) -> str:
    """Return the file of a program."""
    return f"{name}.stablehlo"


def step_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the name of each of `recipe.programs`, in their order."""
    between = ("train_step_between",) if recipe.variant.between else ()
    names = ("train_step", *between, "train_step_plain")
    return names[: len(recipe.programs)]


def key(tensor: Tensor) -> str:
    """Return the name of an input in values.npz; '' for one that is no state."""
    if tensor.role not in _STATE:
        return ""
    # A slot and a weight may have one name; with their roles they have not.
    return tensor.name if tensor.role == tensor.name else f"{tensor.role}/{tensor.name}"


def describe(
    trained: Trained, programs: dict[str, Program], not_made: dict[str, str]
) -> dict[str, Any]:
    """Return the manifest, as plain values for JSON.

    Args:
        trained: The run.
        programs: The programs that were made, by name.
        not_made: The reasons why this model has no such form, by file.
    """
    config, data, checkpoint = trained.config, trained.data, trained.checkpoint
    custom = own_code.load(config.model.trusted_modules)
    own = plain_keras.own_code(trained.recipe.network.model, custom)
    return {
        "schema_version": SCHEMA_VERSION,
        "config_digest": config_lib.digest(config),
        "config": config.to_dict(),
        "data_digest": data.digest(),
        "checkpoint": {
            "which": checkpoint.which,
            "name": checkpoint.name,
            "step": checkpoint.step,
            "averaged": config.ema.decay > 0,  # Its weights, over the run's steps.
        },
        "image_shape": list(trained.image_shape),
        "classes": list(data.classes),
        "preprocessing": _preprocessing(trained),
        "values": VALUES,
        "programs": {
            name: _program(name, program, trained.recipe)
            for name, program in programs.items()
        },
        "train_steps": _train_steps(trained.recipe),
        "saved_model": {
            "folder": SAVED_MODEL,
            "preprocessing_inside": _INSIDE,
            "signature": "serving_default",
            **keras_models.signature(trained.image_shape, len(data.classes)),
        },
        "keras": {
            "file": KERAS_FILE,
            "preprocessing_inside": [],
            "input": "float32 images, after `scale` and `standardize`",
            "output": "logits",
            "oldest_keras": plain_keras.OLDEST_KERAS,
            # The user's classes and functions, and the modules that have them.
            "custom_layers": own.names,
            "import_first": ",".join(own.modules),
        },
        "not_made": not_made,
        "versions": {**result.versions(), "jaxlib": jaxlib.__version__},
    }


def _preprocessing(trained: Trained) -> dict[str, Any]:
    """Return its steps, by the names that each file's `preprocessing_inside` lists."""
    data, fed = trained.config.data, trained.recipe.input_range
    standardize = None  # Nothing to do.
    if fed.name == ranges.STANDARDIZED:
        seen = dataset.seen(trained.located, trained.data)
        mean, std = list(seen.mean), list(seen.std)
        standardize = {"mean": mean, "std": std}
    factor, shift = fed.of_bytes
    return {
        "augment": ",".join(
            augment.in_step(augment.parse(data.augment), data.policy_place)
        ),
        "input_range": fed.name,
        "scale": fed.scaling,
        "scale_factor": factor,
        "scale_shift": shift,
        "standardize": standardize,
    }


def _train_steps(recipe: Recipe) -> dict[str, Any]:
    """Return which program takes a step s of the run, counted from 0.

    It `acts` where start <= s < end and (s - start) % every == 0, and is `otherwise`
    on the others. Where it acts with a period, it is `between` if (s - start) % period
    is not 0 and something is remembered.
    """
    names = dict(zip(recipe.programs, step_names(recipe), strict=True))
    acts = names[recipe.variant]
    return {
        "start": recipe.cadence.start,
        "end": recipe.cadence.end,
        "every": recipe.cadence.every,
        "period": recipe.variant.period,
        "acts": acts,
        "between": names.get(recipe.variant.between),
        "otherwise": names.get(PLAIN, acts),
    }


def _program(name: str, program: Program, recipe: Recipe) -> dict[str, Any]:
    trains = name.startswith("train_step")
    return {
        "file": program_file(name),
        "format": "StableHLO portable artifact",
        "stablehlo_version": STABLEHLO_VERSION,
        "replicas": program.num_replicas,
        "preprocessing_inside": ["augment", *_INSIDE] if trains else _INSIDE,
        "inputs": [_tensor(tensor, is_input=True) for tensor in program.inputs],
        "outputs": [_tensor(tensor, is_input=False) for tensor in program.outputs],
        # The runtime may write the output where the input was, which is then gone.
        "donated": [{"input": i, "output": j} for i, j in program.aliases],
        **({"metrics": [*metrics.TRAIN, *recipe.metrics]} if trains else {}),
    }


def _tensor(tensor: Tensor, *, is_input: bool) -> dict[str, Any]:
    found = {
        "name": tensor.name,
        "role": tensor.role,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
    }
    return {**found, "value": key(tensor)} if is_input and key(tensor) else found
