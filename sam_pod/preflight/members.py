"""What each member of the family costs, exchanges and remembers, as a table.

All of it is read from what the members and the exchange declare, which the step asserts
while it is traced and the compiler's text is held against.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sam_pod import errors, sam
from sam_pod.config import family_rules, keys
from sam_pod.machines import groups
from sam_pod.sam.roles import Role
from sam_pod.sam.variant import Variant
from sam_pod.step import exchange

_REPLICAS, _GROUP = 4, 2
_SYNCS = ("replica", "norm", str(_GROUP), "global")
_HEAD = ("member", "passes", "replica", "norm", "group of k", "global", "remembers")
_ROLES = (Role.KERNEL, Role.SCALE, Role.OFFSET)


class Member(NamedTuple):
    """A member, and the keys by which a config asks for it."""

    keys: Mapping[str, object]
    variant: Variant


MEMBERS = (
    Member({"sam.variant": "sam"}, sam.sam.build()),
    Member({"sam.variant": "sam", "sam.norm": "inf"}, sam.sam.build("inf")),
    Member({"sam.variant": "sam", "sam.norm": "1"}, sam.sam.build("1")),
    Member({"sam.variant": "random"}, sam.random.build()),
    Member({"sam.variant": "asam"}, sam.asam.build(_ROLES)),
    Member({"sam.variant": "gsam"}, sam.gsam.build()),
    Member({"sam.variant": "looksam"}, sam.looksam.build()),
    Member({"sam.variant": "esam"}, sam.esam.build()),
    Member({"sam.variant": "wsam"}, sam.wsam.build()),
    Member(
        {"sam.variant": "wsam", "sam.wsam.decoupled": False},
        sam.wsam.build(decoupled=False),
    ),
    Member({"sam.variant": "sam_on"}, sam.sam_on.build(_ROLES)),
    Member({"sam.variant": "friendly"}, sam.friendly.build()),
    Member({"sam.variant": "vasso"}, sam.vasso.build()),
    Member({"sam.variant": "msam"}, sam.msam.build()),
)


def table() -> str:
    """Return the table in Markdown."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, MEMBERS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(member: Member) -> tuple[str, ...]:
    variant = member.variant
    name, *more = (f"{k.partition('.')[2]}={v}" for k, v in member.keys.items())
    name = name.removeprefix("variant=")
    passes = f"{_mean_passes(variant):.3g}"
    if variant.between:
        passes += f" (k = {variant.period})"
    kept = ", ".join(variant.memory_names)
    cells = [_exchanges(member, sync) for sync in _SYNCS]
    return (" ".join((name, *more)), passes, *cells, kept)


def _mean_passes(variant: Variant) -> float:
    if variant.between is None:
        return variant.passes
    others = variant.period - 1
    return (variant.passes + others * variant.between.passes) / variant.period


def _exchanges(member: Member, sync: str) -> str:
    config = keys.defaults()
    config.sam.sync = sync
    config.optimizer.nesterov = False  # Which Momentum-SAM does not follow.
    for key, value in member.keys.items():
        config.update_from_flattened_dict({key: value})
    try:
        family_rules.validate(config)
    except errors.UserError:
        return "refused"
    of = groups.of(sync)
    said = _cell(exchange.plan(member.variant, of, 1, _REPLICAS))
    if member.variant.between:
        between = exchange.plan(member.variant.between, of, 1, _REPLICAS)
        said += f"; between {_cell(between)}"
    return said


def _cell(plan: Sequence[exchange.Exchange]) -> str:
    """Return what is sent: a call for each exchange, in gradients."""
    calls = []
    for each in plan:
        if not each.gradients:
            calls.append("a scalar")
            continue
        size = "1" if each.gradients == 1 else f"1 of {each.gradients} gradients"
        if each.mask is not None:
            size += " of the perturbed weights"
        if each.replicas < _REPLICAS:
            size += " in the group"
        calls.append(size)
    return " + ".join(calls)
