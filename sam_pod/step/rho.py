"""The radius of the ascent as a pure function of the step and its learning rate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# (step, learning rate) -> rho: a number where it is constant, else a float32 scalar.
Rho = Callable[[tf.Tensor, tf.Tensor], float | tf.Tensor]


class Window(NamedTuple):
    """The steps between which rho changes."""

    start: int
    end: int


def constant(rho: float) -> Rho:
    """Return a radius that stays."""
    return lambda step, rate: rho


def linear(rho_min: float, rho: float, window: Window) -> Rho:
    """Return a radius that grows from `rho_min` to `rho` over the window.

    Its first step is one above `rho_min`: an ascent of 0 would cost what any does.
    """

    def at(step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        del rate
        steps = window.end - window.start
        done = tf.cast(step + 1 - window.start, tf.float32) / steps
        return rho_min + (rho - rho_min) * tf.clip_by_value(done, 0.0, 1.0)

    return at


def cosine(rho: float, rho_min: float, window: Window) -> Rho:
    """Return a radius that falls from `rho` to `rho_min` over the window."""

    def at(step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        del rate
        share = 0.5 * (1.0 + tf.cos(math.pi * _done(step, window)))
        return rho_min + (rho - rho_min) * share

    return at


def learning_rate(
    rho: float, rho_min: float, highest: float, lowest: float = 0.0
) -> Rho:
    """Return a radius that follows the learning rate: GSAM's, arXiv 2203.08065.

    rho_min where the rate is lowest, rho at its peak, and never outside of the two.

    Args:
        rho: The largest.
        rho_min: The smallest.
        highest: Learning rate at the peak of its schedule.
        lowest: Learning rate at its end; where that is the peak, rho stays.
    """
    span = highest - lowest
    if span <= 0:
        return constant(rho)

    def at(step: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        del step
        over = (rate - lowest) / span if lowest else rate / highest
        share = tf.clip_by_value(over, 0.0, 1.0)
        return rho_min + (rho - rho_min) * share

    return at


def _done(step: tf.Tensor, window: Window) -> tf.Tensor:
    """Return the share of the window that is over, a float32 in [0, 1]."""
    steps = max(window.end - 1 - window.start, 1)
    done = tf.cast(step - window.start, tf.float32) / steps
    return tf.clip_by_value(done, 0.0, 1.0)
