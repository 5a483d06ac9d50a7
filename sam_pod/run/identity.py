"""What all workers of a run must agree on before they train together."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import ml_collections
import tensorflow as tf

import sam_pod
from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.machines.workers import Workers
from sam_pod.models import model_file

# Where files lie may differ between machines; what they hold may not.
_OWN_KEYS = frozenset({"data.dir", "model.trusted_modules"})


def of(
    config: ml_collections.ConfigDict, inputs: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return what this worker would train, by kind.

    Args:
        config: The resolved config.
        inputs: The digest of what a config key names, by key.
    """
    return {
        "config": {
            key: "a file" if _is_file(key, value) else value
            for key, value in config_lib.flatten(config).items()
            if key not in _OWN_KEYS
        },
        "content": dict(inputs),
        "code": {"sam_pod": code_digest(), "tensorflow": tf.__version__},
    }


def _is_file(key: str, value: Any) -> bool:
    return key == "model.name" and model_file.is_path(value)


def code_digest() -> str:
    """Return the first digits of a SHA-256 over the files of this package."""
    root = os.path.dirname(sam_pod.__file__)
    total = hashlib.sha256()
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        for file in sorted(f for f in files if f.endswith(".py")):
            path = os.path.join(folder, file)
            with open(path, "rb") as source:
                content = source.read()
            total.update(f"{os.path.relpath(path, root)} {len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()[:12]


def check(own: dict[str, dict[str, Any]], workers: Workers) -> None:
    """Refuse to train unless every worker agrees with the chief.

    Raises:
        UserError: on every worker; where something differs, it says what.
    """
    text = json.dumps(own, sort_keys=True)
    chiefs = json.loads(workers.chiefs_bytes(text.encode()))
    differing = differences(chiefs, json.loads(text))
    marks = [0.0] * workers.count
    marks[workers.index] = float(bool(differing))
    others = [i for i, mark in enumerate(workers.total(marks)) if mark]
    if differing:
        raise errors.UserError(
            f"Worker {workers.index} differs from the chief: {'; '.join(differing)}. "
            "Start all workers alike."
        )
    if others:
        listing = ", ".join(map(str, others))
        raise errors.UserError(
            f"Refused worker(s) {listing}, which differ from the chief; what differs "
            "is in their own logs. Start all workers alike."
        )


def differences(
    chiefs: dict[str, dict[str, Any]], own: dict[str, dict[str, Any]]
) -> list[str]:
    """Return one phrase for each thing that differs."""
    phrases = []
    for kind, theirs in chiefs.items():
        for key in sorted(theirs.keys() | own[kind].keys()):
            a, b = theirs.get(key), own[kind].get(key)
            if a != b:
                phrases.append(f"{kind} `{key}` is {b!r}, the chief's {a!r}")
    return phrases
