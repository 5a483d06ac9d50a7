"""Learning rates of single weights, such as those of a head that begins new."""

import dataclasses
from collections.abc import Callable, Sequence

from sam_pod.step import optimizers


def with_factors(
    make: Callable[[optimizers.Kernels], optimizers.Optimizer],
    kernels: optimizers.Kernels,
    factors: Sequence[float],
) -> optimizers.Optimizer:
    """Return an optimizer with a learning rate of its own for some weights.

    Args:
        make: From the kernels among some weights to an optimizer of these, which
            treats each weight for itself.
        kernels: Which weights are kernels; () for those of two axes.
        factors: One for each weight, which its learning rate is multiplied by.
    """
    optimizer = make(kernels)
    groups = []
    for factor in sorted(set(factors)):
        places = [i for i, f in enumerate(factors) if f == factor]
        own = make(tuple(kernels[i] for i in places) if kernels else ())
        groups.append((factor, places, own))

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        new_weights = list(weights)
        new_slots = {name: list(slot) for name, slot in slots.items()}
        for factor, places, own in groups:
            part, part_slots = own.update(
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
