"""The names of the metrics, and evaluation sums that count every example once."""

import dataclasses

import numpy as np
import tensorflow as tf

from sam_pod.step import losses

# The metrics that the training step reports, in this order.
TRAIN = (
    "train/loss",  # Cross-entropy at w.
    "train/perturbed_loss",  # Cross-entropy at w + e.
    "train/sharpness",  # Their difference.
    "train/accuracy",  # At w; of a soft label its largest part counts.
    "train/grad_norm",  # The norm that the ascent divides by.
    "train/sam_grad_norm",  # The norm of the gradient that the optimizer takes.
    "train/learning_rate",
    "train/rho",
)
EXAMPLES_PER_SECOND = "train/examples_per_second"
WAIT_FRACTION = "data/wait_fraction"  # The share of a loop's time without a batch.


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Means over a whole split."""

    loss: float
    accuracy: float
    num_examples: int


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
