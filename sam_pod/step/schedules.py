"""Learning rates as pure functions of the step, and the plateau rule."""

import math
from collections.abc import Callable

import ml_collections
import tensorflow as tf

from sam_pod import errors

# (step, learning_rate_scale) -> learning rate; scalars. The scale is what the plateau
# rule has made of the rate so far.
Schedule = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def build(config: ml_collections.ConfigDict, steps_per_epoch: int) -> Schedule:
    """Return the schedule that `config.schedule` describes.

    Raises:
        UserError: there is no schedule of that name.
    """
    base = config.optimizer.learning_rate
    warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
    decay_steps = max(config.num_epochs * steps_per_epoch - warmup_steps, 1)
    rules = {
        "constant": lambda step, scale: tf.ones_like(scale),
        "cosine": lambda step, scale: cosine(step - warmup_steps, decay_steps),
        "plateau": lambda step, scale: scale,
    }
    rule = errors.lookup(rules, config.schedule.name, "schedule.name")

    def schedule(step: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        rate = base * rule(step, scale)
        if not warmup_steps:
            return rate
        warmup = tf.cast(step + 1, tf.float32) / warmup_steps
        return tf.where(step < warmup_steps, base * warmup, rate)

    return schedule


def cosine(step: tf.Tensor, decay_steps: int) -> tf.Tensor:
    """Return (1 + cos(pi * step / decay_steps)) / 2, a float32 in [0, 1]."""
    done = tf.cast(step, tf.float32) / decay_steps
    return 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(done, 0.0, 1.0)))
