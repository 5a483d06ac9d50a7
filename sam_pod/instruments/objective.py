"""The loss whose shape is measured, as a pure function of the weights."""

import dataclasses

import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.step import losses, optimizers
from sam_pod.step.recipe import Recipe

BATCH_NORMS = {
    "running": "BatchNorm normalizes with its running statistics, as in evaluation",
    "batch": "BatchNorm normalizes with the statistics of each batch, as in training",
}
# The masks of dropout are the same for every batch and at all weights.
_DROPOUT_KEY = (0, 0)


@dataclasses.dataclass(frozen=True)
class Objective:
    """The mean cross-entropy of some examples, not augmented."""

    recipe: Recipe
    num_examples: int  # Of all batches.
    batch_norm: str = "running"  # One of BATCH_NORMS; 'batch' has dropout, too.
    is_regularized: bool = False  # With weight decay in it, and the model's penalties.
    # The run's: so many examples count in the penalty of a model's activations.
    global_batch_size: int = 0

    @property
    def has_regularizers(self) -> bool:
        """Whether the run's own loss has more than the cross-entropy."""
        recipe = self.recipe
        decays = recipe.weight_decay and recipe.optimizer.decays_in_loss
        network = recipe.network
        return bool(decays or network.model.losses or network.regularizes_activities)

    def share(
        self, weights: list[tf.Tensor], stats: list[tf.Tensor], batch: Batch
    ) -> tf.Tensor:
        """Return a batch's part of the objective: all parts add up to it.

        Args:
            weights: w.
            stats: The network's statistics.
            batch: This replica's batch, with its mask.
        """
        images = self.recipe.evaluation_images(batch.images)
        key = tf.constant(_DROPOUT_KEY) if self.batch_norm == "batch" else None
        factor = 1.0
        if self.is_regularized:
            factor = self.global_batch_size / images.shape[0]
        outputs = self.recipe.network.apply(
            weights, stats, images, key=key, examples_per_example=factor
        )
        each = losses.cross_entropy(outputs.logits, batch.labels)
        total = tf.reduce_sum(each * tf.cast(batch.mask, each.dtype))
        if self.is_regularized:
            extra = outputs.penalty + self._decay(weights)
            total += tf.cast(tf.reduce_sum(batch.mask), total.dtype) * extra
        return total / self.num_examples

    def _decay(self, weights: list[tf.Tensor]) -> tf.Tensor:
        recipe = self.recipe
        if not (recipe.weight_decay and recipe.optimizer.decays_in_loss):
            return tf.zeros([])
        return optimizers.l2_penalty(
            weights,
            recipe.weight_decay,
            over_all=recipe.decays_all,
            kernels=recipe.kernels,
        )
