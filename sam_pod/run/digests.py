"""Digests by which a run recognizes its inputs, wherever they lie."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from sam_pod.models import model_file, own_code

_OF_MODEL = {"model.name": model_file.digest, "model.trusted_modules": own_code.digest}


def of_inputs(config: ml_collections.ConfigDict, data_digest: str) -> dict[str, str]:
    """Return by config key the digest of what that key names.

    Args:
        config: The config, with `model.name` where the model can be read.
        data_digest: The digest of the data, from their manifest.

    Raises:
        UserError: the model or its code is not there, or is no model.
    """
    return {"data.dir": data_digest, **of_model(config)}


def of_model(config: ml_collections.ConfigDict) -> dict[str, str]:
    """Return the digests of a model's file and of the code that it needs.

    Raises:
        UserError: one is not there, or is no model.
    """
    found = {"model.name": model_file.digest(config.model.name)}
    if config.model.trusted_modules:
        digest = own_code.digest(config.model.trusted_modules)
        found["model.trusted_modules"] = digest
    return found


def is_same(key: str, value: Any, known: Mapping[str, str]) -> bool:
    """Return whether the value of a key names the content that the run knows.

    Args:
        key: A config key; one without a digest is never the same.
        value: The value of the key now.
        known: The run's digests, by config key.
    """
    digest = known.get(key)
    return bool(digest) and key in _OF_MODEL and _OF_MODEL[key](value) == digest


def remedy(key: str, *, trains: bool) -> str:
    """Return what to do where a key names another content than the run knows.

    Args:
        key: The config key.
        trains: Whether the command trains, and not reads a run.
    """
    if trains:
        return "give another --workdir, or that content again"
    where = ", or say in --data_dir where it is" if key == "data.dir" else ""
    return f"put back what the run was trained with{where}"
