"""Learning rates as pure functions of the step, and the plateau rule."""

import math
from collections.abc import Callable, Sequence

import ml_collections
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import schedule_rules

# (step, learning_rate_scale) -> learning rate; scalars. The scale is what the plateau
# rule has made of the rate so far.
Schedule = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def build(config: ml_collections.ConfigDict, steps_per_epoch: int) -> Schedule:
    """Return the schedule that `config.schedule` describes.

    Raises:
        UserError: there is no schedule of that name, or its boundaries are none.
    """
    base = config.optimizer.learning_rate
    warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
    decay_steps = max(config.num_epochs * steps_per_epoch - warmup_steps, 1)
    rules = {
        "constant": lambda step, scale: tf.ones_like(scale),
        "cosine": lambda step, scale: cosine(step - warmup_steps, decay_steps),
        "polynomial": lambda step, scale: polynomial(
            step - warmup_steps, decay_steps, config.schedule.end, config.schedule.power
        ),
        "exponential": lambda step, scale: exponential(
            step - warmup_steps,
            config.schedule.decay_epochs * steps_per_epoch,
            config.schedule.decay_factor,
            staircase=config.schedule.staircase,
        ),
        "step": lambda step, scale: piecewise(
            step, bounds, config.schedule.decay_factor
        ),
        "plateau": lambda step, scale: scale,
    }
    rule = errors.lookup(rules, config.schedule.name, "schedule.name")
    bounds = []
    if config.schedule.name == "step":
        epochs = schedule_rules.boundaries(config)
        bounds = [round(epoch * steps_per_epoch) for epoch in epochs]

    def schedule(step: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        rate = base * rule(step, scale)
        if not warmup_steps:
            return rate
        warmup = tf.cast(step + 1, tf.float32) / warmup_steps
        return tf.where(step < warmup_steps, base * warmup, rate)

    return schedule


def depends_on_the_length(config: ml_collections.ConfigDict) -> bool:
    """Return whether another `num_epochs` changes the rate of a step."""
    name = config.schedule.name
    in_shares = name == "step" and "%" in config.schedule.boundaries
    return name in ("cosine", "polynomial") or in_shares


def cosine(step: tf.Tensor, decay_steps: int) -> tf.Tensor:
    """Return (1 + cos(pi * step / decay_steps)) / 2, a float32 in [0, 1]."""
    done = tf.cast(step, tf.float32) / decay_steps
    return 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(done, 0.0, 1.0)))


def polynomial(
    step: tf.Tensor, decay_steps: int, end: float, power: float
) -> tf.Tensor:
    """Return what falls from 1 to `end` by a power of the share that is left."""
    done = tf.clip_by_value(tf.cast(step, tf.float32) / decay_steps, 0.0, 1.0)
    left = 1.0 - done
    return (1.0 - end) * (left if power == 1 else left**power) + end


def exponential(
    step: tf.Tensor, decay_steps: float, factor: float, *, staircase: bool
) -> tf.Tensor:
    """Return `factor` to the power of step / decay_steps, or of its whole part."""
    done = tf.maximum(tf.cast(step, tf.float32), 0.0) / decay_steps
    return tf.constant(factor) ** (tf.floor(done) if staircase else done)


def piecewise(step: tf.Tensor, bounds: Sequence[int], factor: float) -> tf.Tensor:
    """Return `factor` to the power of how many bounds the step has reached."""
    scales = tf.constant([factor**power for power in range(len(bounds) + 1)])
    reached = [tf.cast(step >= bound, tf.int32) for bound in bounds]
    return tf.gather(scales, tf.add_n(reached))
