"""What a manifest says of labels that are wrong on purpose, in words and in numbers."""

from collections.abc import Mapping
from typing import Any

from sam_pod.config import data_rows

EXCLUDING = data_rows.NOISE_KINDS[0]
_WORDS = {
    "excluding": "symmetric, the true class excluded",
    "including": "symmetric, the true class included",
    "asymmetric": "asymmetric, CIFAR-10's map",
}


def kind(noise: Mapping[str, Any]) -> str:
    """Return the kind of a manifest's noise; sets once had one kind and no word."""
    return noise.get("kind", EXCLUDING)


def identity(noise: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what of the noise says which labels there are, as the oldest sets do."""
    if noise is None:
        return None
    kept = {"rate": noise["rate"], "seed": noise["seed"]}
    return kept if kind(noise) == EXCLUDING else {**kept, "kind": kind(noise)}


def clean_share(noise: Mapping[str, Any], num_examples: int) -> float:
    """Return the share of the training labels that are right.

    It is counted, or for a set that does not say how many are wrong, expected.
    """
    if "wrong" not in noise:
        return 1.0 - noise["rate"]
    return 1.0 - noise["wrong"] / num_examples


def summary(noise: Mapping[str, Any], num_examples: int) -> dict[str, Any]:
    """Return what a result says of the noise."""
    return {
        "rate": noise["rate"],
        "kind": kind(noise),
        "seed": noise["seed"],
        "clean_share": clean_share(noise, num_examples),
    }


def in_words(summary: Mapping[str, Any]) -> str:
    """Return a `summary` as a phrase."""
    return (
        f"label noise {summary['rate']:g} ({_WORDS[summary['kind']]}; seed "
        f"{summary['seed']}), {100 * summary['clean_share']:.2f} % of the training "
        "labels are right"
    )
