"""What a weight is of its layer: members treat some apart, by role and not by name.

A BatchNorm is not called 'bn' everywhere, and a kernel not 'weight'.
"""

import enum
from typing import Any


class Role(enum.Enum):
    """What a weight does in its layer."""

    KERNEL = "kernel"  # Multiplies inputs, or is looked up.
    SLOPE = "slope"  # Multiplies inputs one by one: PReLU's, or a LayerScale's.
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
_OF_NORMALIZATIONS = {
    "gamma": Role.SCALE,
    "scale": Role.SCALE,  # RMSNormalization's; a bool in the others.
    "beta": Role.OFFSET,
}
# What their number of dimensions does not say: a bias of attention has a row for each
# head, a slope one number for each channel.
_OF_OTHERS = {"bias": Role.BIAS}
_OF_SCALINGS = {"alpha": Role.SLOPE, "gamma": Role.SLOPE}
_SCALINGS = ("PReLU", "LayerScale")
# Added to tokens, or looked up by their places: no kernel of any product.
_OF_POSITIONS = {"alpha": Role.BIAS, "position_embeddings": Role.BIAS}
_POSITIONS = ("Positions", "PositionEmbedding")


def of(model: Any) -> tuple[Role, ...]:
    """Return the role of each trainable variable of a Keras model, in its order.

    A normalization is a layer of Keras' own, or of a class that derives from one. In
    a layer that is not known, what is not its `bias` is a kernel from two dimensions.
    """
    roles: dict[int, Role] = {}
    for layer in model._flatten_layers():
        for name, role in _attributes(layer).items():
            if hasattr(getattr(layer, name, None), "shape"):
                roles[id(getattr(layer, name))] = role
    return tuple(
        roles.get(id(v), Role.KERNEL if len(v.shape) > 1 else Role.BIAS)
        for v in model.trainable_variables
    )


def _attributes(layer: Any) -> dict[str, Role]:
    """Return the roles of a layer's attributes that are weights, if they are there."""
    classes = {base.__name__ for base in type(layer).__mro__}
    if classes.intersection(_NORMALIZATIONS):
        return _OF_NORMALIZATIONS
    if classes.intersection(_POSITIONS):
        return _OF_POSITIONS
    return {**_OF_OTHERS, **(_OF_SCALINGS if classes.intersection(_SCALINGS) else {})}
