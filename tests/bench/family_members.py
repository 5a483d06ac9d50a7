"""The members that family.py compares, by name; both sides read this."""

from typing import NamedTuple


class Member(NamedTuple):
    """A member, as a config asks for it."""

    keys: dict[str, object]
    goal: float | None = None  # At most so many times the plain step's time.
    period: int = 1  # Steps after which its programs repeat.
    plain: str = "plain"  # What it is compared with.


_SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.nesterov": False}


def _variant(name, **own):
    return {"sam.variant": name, **{f"sam.{name}.{k}": v for k, v in own.items()}}


MEMBERS = {
    "plain": Member({"sam.rho": 0.0}),
    "plain_sgd": Member({"sam.rho": 0.0, **_SGD}, plain="plain_sgd"),
    "sam": Member(_variant("sam"), 2.03),
    "random": Member(_variant("random"), 2.03),
    "asam": Member(_variant("asam"), 2.03),
    "gsam": Member(_variant("gsam"), 2.03),
    "looksam": Member(_variant("looksam", k=5), 1.22, period=5),
    "interval": Member({**_variant("sam"), "sam.every": 10}, 1.12, period=10),
    # A run of eight steps, whose last takes the ascent.
    "window": Member({**_variant("sam"), "sam.start": "87.5%"}, 1.14, period=8),
    "esam": Member(_variant("esam", beta=0.5, gamma=0.5), 1.88),
    "wsam": Member(_variant("wsam"), 2.03),
    "wsam_coupled": Member(_variant("wsam", decoupled=False), 2.03),
    "sam_on": Member(_variant("sam_on"), 1.75),
    "friendly": Member(_variant("friendly"), 2.03),
    "vasso": Member(_variant("vasso"), 2.03),
    "msam": Member({**_variant("msam"), **_SGD}, 1.03, plain="plain_sgd"),
}


def turn_steps(name, at_least):
    """Return the steps of a turn: whole periods, and no fewer than asked for."""
    period = MEMBERS[name].period
    return -(-at_least // period) * period
