"""What a weight is of its layer: members treat some apart, by role and not by name.

A BatchNorm is not called 'bn' everywhere, and a kernel not 'weight'.
"""

import enum
from typing import Any


class Role(enum.Enum):
    """What a weight does in its layer."""

    KERNEL = "kernel"  # Multiplies inputs, or is looked up: two or more dimensions.
    BIAS = "bias"
    SCALE = "scale"  # gamma of a normalization.
    OFFSET = "offset"  # beta of a normalization.


_NORMALIZATIONS = (
    "BatchNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "SpectralNormalization",
)


def of(model: Any) -> tuple[Role, ...]:
    """Return the role of each trainable variable of a Keras model, in its order.

    A normalization is a layer of Keras' own, or of a class that derives from one.
    """
    roles: dict[int, Role] = {}
    for layer in model._flatten_layers():
        if any(base.__name__ in _NORMALIZATIONS for base in type(layer).__mro__):
            for name, role in (("gamma", Role.SCALE), ("beta", Role.OFFSET)):
                if getattr(layer, name, None) is not None:
                    roles[id(getattr(layer, name))] = role
            if getattr(layer, "scale", None) is not None and not isinstance(
                layer.scale, bool
            ):
                roles[id(layer.scale)] = Role.SCALE  # RMSNormalization's.
    return tuple(
        roles.get(id(v), Role.KERNEL if len(v.shape) > 1 else Role.BIAS)
        for v in model.trainable_variables
    )
