"""An exponential moving average of weights and statistics, beside the training."""

import dataclasses

import tensorflow as tf

Tensors = list[tf.Tensor]
WEIGHTS, STATS = "weights", "stats"


@dataclasses.dataclass(frozen=True)
class Average:
    """How fast an average follows; a decay of 0 keeps none."""

    decay: float = 0.0
    warmup: bool = True  # Early steps decay less: by (1 + t) / (10 + t) at step t.

    def start(self, weights: list, stats: list) -> dict[str, list]:
        """Return the average before the first step, as arrays; {} for none."""
        return {WEIGHTS: list(weights), STATS: list(stats)} if self.decay else {}

    def after(
        self,
        average: dict[str, Tensors],
        weights: Tensors,
        stats: Tensors,
        step: tf.Tensor,
    ) -> dict[str, Tensors]:
        """Return the average after a step.

        Args:
            average: The average before it.
            weights: The weights after it.
            stats: The statistics after it.
            step: How many steps were made before it.
        """
        if not self.decay:
            return average
        decay = tf.constant(self.decay, tf.float32)
        if self.warmup:
            time = tf.cast(step + 1, tf.float32)
            decay = tf.minimum(decay, (1.0 + time) / (10.0 + time))
        new = {WEIGHTS: weights, STATS: stats}
        return {
            name: [
                _followed(old, value, decay)
                for old, value in zip(average[name], new[name], strict=True)
            ]
            for name in average
        }


def _followed(old: tf.Tensor, value: tf.Tensor, decay: tf.Tensor) -> tf.Tensor:
    if not tf.as_dtype(
        value.dtype
    ).is_floating:  # Of a count or a truth value there is no mean.
        return value
    return old - (old - value) * tf.cast(1.0 - decay, old.dtype)


NONE = Average()
