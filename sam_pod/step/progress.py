"""The decisions of the validation split: plateaus, early stopping, the best epoch.

A pure function from one record to the next. Every number is a float32, because that is
what a checkpoint holds: a resumed run must decide as an uninterrupted one does.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Progress:
    """The results of validation so far; each field is saved in the checkpoint."""

    learning_rate_scale: float = 1.0
    plateau_best_loss: float = math.inf
    plateau_epochs: float = 0.0  # Epochs since plateau_best_loss or the last reduction.
    best_loss: float = math.inf
    best_accuracy: float = 0.0  # In the epoch with the best loss.
    best_epoch: float = 0.0
    last_loss: float = math.inf
    last_accuracy: float = 0.0
    validated_epochs: float = 0.0
    seconds: float = 0.0  # Time of training and validation, over all sessions.


def after_validation(
    progress: Progress,
    loss: float,
    accuracy: float,
    *,
    plateau_factor: float,
    plateau_patience: int,
    plateau_min_delta: float,
) -> Progress:
    """Return the record after one more epoch.

    The learning rate's scale is multiplied by `plateau_factor` when the loss has not
    fallen by more than `plateau_min_delta` for `plateau_patience` epochs, as Keras'
    ReduceLROnPlateau does. The best epoch is the one of the lowest loss.
    """
    loss, accuracy = float(np.float32(loss)), float(np.float32(accuracy))
    epoch = progress.validated_epochs + 1
    new = dataclasses.replace(
        progress, validated_epochs=epoch, last_loss=loss, last_accuracy=accuracy
    )
    if loss < progress.best_loss:
        new = dataclasses.replace(
            new, best_loss=loss, best_accuracy=accuracy, best_epoch=epoch
        )
    if loss < np.float32(progress.plateau_best_loss - plateau_min_delta):
        return dataclasses.replace(new, plateau_best_loss=loss, plateau_epochs=0.0)
    if progress.plateau_epochs + 1 < plateau_patience:
        return dataclasses.replace(new, plateau_epochs=progress.plateau_epochs + 1)
    scale = float(np.float32(progress.learning_rate_scale * plateau_factor))
    return dataclasses.replace(new, plateau_epochs=0.0, learning_rate_scale=scale)


def without_validation(progress: Progress) -> Progress:
    """Return the record after one more epoch of a run that validates on nothing."""
    return dataclasses.replace(progress, validated_epochs=progress.validated_epochs + 1)


def is_best(progress: Progress) -> bool:
    """Return whether the last epoch is the best one."""
    return progress.best_epoch == progress.validated_epochs


def should_stop(progress: Progress, patience: int) -> bool:
    """Return whether `patience` epochs have passed since the best; 0 never stops."""
    return 0 < patience <= progress.validated_epochs - progress.best_epoch
