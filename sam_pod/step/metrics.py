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
    # The true class is among the five likeliest; None where there are no more.
    top5_accuracy: float | None = None

    def by_name(self) -> dict[str, float]:
        """Return the means by name, as they are written."""
        top5 = self.top5_accuracy
        more = {} if top5 is None else {"top5_accuracy": top5}
        return {"loss": self.loss, "accuracy": self.accuracy, **more}


# The names of `Evaluation.by_name`.
EVALUATED = ("loss", "accuracy", "top5_accuracy")
_TOP = 5


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
    """Return float32 scalars: the sums of loss, correct and count where mask is 1.

    Where there are more than five classes a fourth counts who has the true one among
    the five largest logits, the lower class first where some are equal.
    """
    loss = losses.cross_entropy(logits, labels)
    # Not loss * mask: values in the padding must not matter, not even NaN.
    loss = tf.where(mask > 0, loss, 0.0)
    return [
        tf.reduce_sum(loss),
        tf.reduce_sum(losses.correct(logits, labels) * mask),
        tf.reduce_sum(mask),
        *(
            [tf.reduce_sum(losses.correct_in_top(logits, labels, _TOP) * mask)]
            if has_top5(logits.shape[-1])
            else []
        ),
    ]


def has_top5(num_classes: int) -> bool:
    """Return whether so many classes have five likeliest ones that say something."""
    return num_classes > _TOP


def num_sums(num_classes: int) -> int:
    """Return how many sums `evaluation_sums` returns for so many classes."""
    return 4 if has_top5(num_classes) else 3


def evaluation_means(sums: np.ndarray) -> Evaluation:
    """Return the means from the sums of each batch, `[num_batches, 3 or 4]`."""
    # float32 counts whole numbers exactly up to 2**24 a batch; over batches, float64.
    loss, correct, count, *top5 = np.asarray(sums, np.float64).sum(axis=0)
    top5_accuracy = top5[0] / count if top5 else None
    return Evaluation(loss / count, correct / count, int(count), top5_accuracy)
