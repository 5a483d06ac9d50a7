"""The names of the metrics, and evaluation sums that count every example once."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod.step import losses


class Train(NamedTuple):
    """What the training step reports of each step: scalars, in this order."""

    loss: tf.Tensor  # Cross-entropy at w.
    perturbed_loss: tf.Tensor  # Cross-entropy at w + e.
    sharpness: tf.Tensor  # Their difference.
    accuracy: tf.Tensor  # At w; of a soft label its largest part counts.
    grad_norm: tf.Tensor  # The norm that the ascent divides by.
    sam_grad_norm: tf.Tensor  # The norm of the optimizer's gradient, unclipped.
    learning_rate: tf.Tensor
    rho: tf.Tensor  # 0 on a step without an ascent.


TRAIN = tuple(f"train/{name}" for name in Train._fields)
EXAMPLES_PER_SECOND = "train/examples_per_second"
WAIT_FRACTION = "data/wait_fraction"  # The share of a loop's time without a batch.


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Means over a whole split."""

    loss: float
    accuracy: float
    num_examples: int


def named(row: Sequence[float], more: Sequence[str] = ()) -> dict[str, float]:
    """Return what a step reported, by name.

    Args:
        row: One number for each of TRAIN, then for each of `more`.
        more: The names of a member's own. A step that has none of them reports NaN,
            which is left out.
    """
    size = len(TRAIN)
    own = zip(more, row[size:], strict=True)
    return {
        **dict(zip(TRAIN, map(float, row[:size]), strict=True)),
        **{name: float(value) for name, value in own if not math.isnan(value)},
    }


def evaluation_sums(
    logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor
) -> list[tf.Tensor]:
    """Return float32 scalars: the sums of loss, correct and count where mask is 1."""
    loss = losses.cross_entropy(logits, labels)
    # Not loss * mask: values in the padding must not matter, not even NaN.
    loss = tf.where(mask > 0, loss, 0.0)
    return [
        tf.reduce_sum(loss),
        tf.reduce_sum(losses.correct(logits, labels) * mask),
        tf.reduce_sum(mask),
    ]


def evaluation_means(sums: np.ndarray) -> Evaluation:
    """Return the means from the sums of each batch, `[num_batches, 3]`."""
    # float32 counts whole numbers exactly up to 2**24 a batch; over batches, float64.
    loss, correct, count = np.asarray(sums, np.float64).sum(axis=0)
    return Evaluation(loss / count, correct / count, int(count))
