"""The report of a finished run: `result.json`, and the last lines of the log."""

import platform
from collections.abc import Mapping
from typing import Any

import keras
import ml_collections
import numpy as np
import tensorflow as tf

from sam_pod.config import keys as config_lib
from sam_pod.models import network as network_lib
from sam_pod.run import curve, spending
from sam_pod.step import metrics, progress

VERSION = "0.1.0"


def summarize(
    config: ml_collections.ConfigDict,
    network: network_lib.Network,
    record: progress.Progress,
    test: metrics.Evaluation,
    num_steps: int,
) -> dict[str, Any]:
    """Return the result as it is written: plain numbers, by name.

    `seconds` counts training, validation, saving and compiling over all sessions of
    the run; `examples_per_second` is the examples trained on, divided by it.
    """
    weights = _size(network.initial_weights())
    return {
        **{f"test_{name}": value for name, value in test.by_name().items()},
        "test_examples": test.num_examples,
        **_validated(record),
        "best_epoch": int(record.best_epoch),
        "epochs": int(record.validated_epochs),
        "steps": num_steps,
        "examples_per_second": num_steps * config.global_batch_size / record.seconds,
        "seconds": record.seconds,
        "trainable_parameters": weights,
        "parameters": weights + _size(network.initial_stats()),
        "config_digest": config_lib.digest(config),
        "versions": versions(),
    }


def _validated(record: progress.Progress) -> dict[str, float | None]:
    """Return the scores of validation; None for each where there was none."""
    scores = {
        "final_validation_accuracy": record.last_accuracy,
        "final_validation_loss": record.last_loss,
        "best_validation_accuracy": record.best_accuracy,
        "best_validation_loss": record.best_loss,
    }
    return scores if record.best_epoch else dict.fromkeys(scores)


def spent(meter: spending.Meter, num_steps: int) -> dict[str, float | None]:
    """Return what the run has spent: gradients of a global batch, and waiting."""
    return {
        "gradients": meter.total_gradients(num_steps),
        "input_wait": curve.mean_wait(meter.points()),
    }


def labels(noise: dict[str, Any] | None) -> dict[str, Any]:
    """Return what is known of labels that are wrong on purpose; {} for none."""
    return {} if noise is None else {"label_noise": noise}


def tested(by_weights: Mapping[str, metrics.Evaluation]) -> dict[str, Any]:
    """Return the test's scores by the weights that it was read with."""
    return {"test_with": {name: each.by_name() for name, each in by_weights.items()}}


def versions() -> dict[str, str]:
    """Return the versions of the packages that computed a result."""
    return {
        "sam_pod": VERSION,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _size(arrays: dict[str, np.ndarray]) -> int:
    return sum(array.size for array in arrays.values())
