"""Learning rates of single weights, such as those of a head that begins new."""

import dataclasses
from collections.abc import Sequence

from sam_pod.step import optimizers


def with_factors(
    optimizer: optimizers.Optimizer, factors: Sequence[float]
) -> optimizers.Optimizer:
    """Return the optimizer with a learning rate of its own for some weights.

    Args:
        optimizer: An optimizer that treats each weight for itself.
        factors: One for each weight, which its learning rate is multiplied by.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        new_weights = list(weights)
        new_slots = {name: list(slot) for name, slot in slots.items()}
        for factor in sorted(set(factors)):
            places = [i for i, f in enumerate(factors) if f == factor]
            part, part_slots = optimizer.update(
                [gradient[i] for i in places],
                {name: [slot[i] for i in places] for name, slot in slots.items()},
                [weights[i] for i in places],
                step,
                learning_rate if factor == 1 else factor * learning_rate,
            )
            for place, i in enumerate(places):
                new_weights[i] = part[place]
                for name, slot in part_slots.items():
                    new_slots[name][i] = slot[place]
        return new_weights, new_slots

    new = dataclasses.replace(optimizer, update=update, factors=tuple(factors))
    if optimizer.heading is None or optimizer.has_rate_in_slots:
        return new
    # Slots do not know the rates, and the last update of a weight has its own.
    return dataclasses.replace(
        new, heading=lambda slots: new.scaled(optimizer.heading(slots))
    )
