"""The networks of the recipes with few blocks, for tests of what is around them."""

import dataclasses
import functools

from sam_pod.models import (
    pyramidnet,
    resnet_cifar,
    resnet_imagenet,
    shake_shake,
    table,
    vit,
    wide_resnet,
)

# A block in a group, which changes the shape; those that do not have fewer parts.
SHALLOW = {
    pyramidnet.build: {"depth": 11},
    resnet_cifar.build_he: {"depth": 8},
    shake_shake.build: {"blocks": 1},
    vit.build: {"depth": 1},
    wide_resnet.build: {"depth": 10},
}


def give_few_blocks(monkeypatch):
    """Give all networks but resnet20 few blocks; they keep widths and settings.

    The table's test builds them all, and the families' tests train each kind.
    """
    monkeypatch.setattr(
        resnet_imagenet, "_BLOCKS", dict.fromkeys(resnet_imagenet._BLOCKS, (2, 1, 1, 1))
    )
    for name, row in table.MODELS.items():
        fewer = SHALLOW.get(getattr(row.build, "func", row.build))
        if fewer:
            build = functools.partial(row.build, **fewer)
            monkeypatch.setitem(
                table.MODELS, name, dataclasses.replace(row, build=build)
            )
