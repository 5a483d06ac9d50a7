"""The members in NumPy: flat float64 vectors, written down from their papers' formulas.

`Oracle` says the loss; what a member does of it is here, and nothing of the package.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

TINY = 1e-12


@dataclasses.dataclass
class Oracle:
    """A loss of flat weights on the examples of a step."""

    gradient: Callable  # (w, examples or None for all) -> gradient
    losses: Callable  # w -> loss of each example
    scaled: np.ndarray  # Whether ASAM scales a weight.
    normalization: np.ndarray  # Whether a weight is a normalization's.
    tensors: list  # Slices of the flat vector.


def norm(x):
    return np.sqrt(np.sum(x * x))


def train(name, options, w, oracles, *, rho, rate, momentum=0.9, masks=()):
    """Return the weights after SGD with Keras' momentum, over the oracles of steps."""
    v, memory = np.zeros_like(w), {}
    for step, oracle in enumerate(oracles):
        if name == "msam":
            g = oracle.gradient(w + rho * v / (norm(v) + TINY))
            extra = 0.0
        else:
            mask = masks[step] if masks else None
            g, extra = taken(name, options, w, oracle, rho, memory, step, mask)
        v = momentum * v - rate * g
        w = w + v - rate * extra
    return w


def ascent(name, o, w, g, oracle, rho, memory, mask):
    """Return how far the weights are moved, from the gradient there."""
    e = rho * g / (norm(g) + TINY)
    if name == "sam" and o.get("norm") == "inf":
        e = rho * np.sign(g)
    elif name == "sam" and o.get("norm") == "1":
        e = np.zeros_like(g)
        place = np.argmax(np.abs(g))
        e[place] = rho * np.sign(g[place])
    elif name == "sam" and o.get("layerwise"):
        e = np.zeros_like(g)
        for t in oracle.tensors:
            size = norm(w[t]) if o["layerwise"] == "trust" else 1.0
            e[t] = rho * size * g[t] / (norm(g[t]) + TINY)
    elif name == "sam" and o.get("energy"):
        e = min(o["energy"] / norm(g), rho) * g / norm(g)
    elif name == "asam":
        t = np.where(oracle.scaled, np.abs(w) + o["eta"], 1.0)
        if o.get("norm") == "inf":
            e = rho * t * np.sign(g)
        else:
            e = rho * t * t * g / (norm(t * g) + TINY)
    elif name == "sam_on":
        part = np.where(oracle.normalization != o.get("reverse", False), g, 0.0)
        e = rho * part / (norm(part) + TINY)
    elif name == "friendly":
        d = g - o["sigma"] * memory.get("m", 0.0)
        e = rho * d / (norm(d) + TINY)
        m = memory.get("m")
        memory["m"] = g if m is None else o["decay"] * m + (1 - o["decay"]) * g
    elif name == "vasso":
        d = memory.get("d")
        d = g if d is None else (1 - o["theta"]) * d + o["theta"] * g
        memory["d"] = d
        e = rho * d / (norm(d) + TINY)
    elif name == "esam":
        kept = np.concatenate(
            [np.full(g[t].size, k) for t, k in zip(oracle.tensors, mask, strict=True)]
        )
        below = norm(g * kept) if o.get("norm", "kept") == "kept" else norm(g)
        e = rho / o["beta"] * g * kept / (below + TINY)
    return e


def taken(name, o, w, oracle, rho, memory, step, mask):
    """Return the gradient that the optimizer takes, and what goes beside it."""
    g = oracle.gradient(w)
    e = ascent(name, o, w, g, oracle, rho, memory, mask)
    if name == "looksam" and step % o["k"]:
        return g + o["alpha"] * norm(g) * memory["v"], 0.0
    if name == "esam" and o["gamma"] < 1:
        rise = oracle.losses(w + e) - oracle.losses(w)
        count = int(o["gamma"] * len(rise))
        return oracle.gradient(
            w + e, np.sort(np.argsort(-rise, kind="stable")[:count])
        ), 0.0
    s = oracle.gradient(w + e)
    if name == "gsam" and o.get("minimizes") == "clean":
        u = g / norm(g)
        return g + o["alpha"] * (s - (u @ s) * u), 0.0
    if name == "gsam":
        u = s / norm(s)
        return s - o["alpha"] * (g - (u @ g) * u), 0.0
    if name == "wsam":
        a = o["gamma"] / (1 - o["gamma"])
        if o.get("decoupled", True):
            return g, a * (s - g)
        return (1 - a) * g + a * s, 0.0
    if name == "looksam":
        new = s - (s @ g) / (g @ g) * g
        memory["v"] = new / norm(new)
    return s, 0.0
