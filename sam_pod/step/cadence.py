"""When a member acts: a window of the run, every so many steps.

The number of the step decides, so where loops are cut and where a run is continued
changes nothing.
"""

from typing import NamedTuple

import tensorflow as tf

from sam_pod.sam.variant import PLAIN, Variant


class Cadence(NamedTuple):
    """The steps on which a member acts; the plain optimizer takes the others."""

    start: int = 0  # Steps; the first on which it may.
    end: int | None = None  # The first on which it may not any more; None for never.
    every: int = 1  # Every so many steps from the start on.

    def programs(self, variant: Variant) -> tuple[Variant, ...]:
        """Return who takes the steps: the member first, the plain optimizer last."""
        between = (variant.between,) if variant.between else ()
        is_always = self.start == 0 and self.end is None and self.every == 1
        return (variant, *between) if is_always else (variant, *between, PLAIN)

    def program(
        self, variant: Variant, step: tf.Tensor, is_filled: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the place in `programs` of who takes a step, an int32 scalar.

        Args:
            variant: The member.
            step: int64 scalar: updates made before this one.
            is_filled: bool scalar: whether a member with a memory has one.
        """
        last = len(self.programs(variant)) - 1
        phase = step - self.start
        program = tf.zeros([], tf.int32)
        if variant.between:
            refreshes = phase % variant.period == 0
            if is_filled is not None:
                refreshes |= ~is_filled
            program = tf.where(refreshes, 0, 1)
        is_on = phase % self.every == 0
        is_on &= step >= self.start
        if self.end is not None:
            is_on &= step < self.end
        return tf.where(is_on, program, last)

    def place(self, variant: Variant, step: int) -> int:
        """Return what `program` is, of a step whose member has its memory."""
        phase = step - self.start
        is_over = self.end is not None and step >= self.end
        if phase < 0 or is_over or phase % self.every:
            return len(self.programs(variant)) - 1
        return 1 if variant.between and phase % variant.period else 0


ALWAYS = Cadence()
