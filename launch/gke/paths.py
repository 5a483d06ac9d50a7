"""The paths in a config that pods read: in a bucket, or in their image."""

import ml_collections

from launch import checks
from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.models import model_file, own_code


def check_homes(config: ml_collections.ConfigDict, recipe: str) -> None:
    """Refuse a `~`: a pod's home folder is part of its image, not this machine's.

    Raises:
        UserError: naming the flag or the key.
    """
    flat = config_lib.flatten(config)
    paths = {f"`{key}`": flat[key] for key in sorted(config_lib.PATH_KEYS)}
    for name, path in {"--config": recipe, **paths}.items():
        if path.startswith("~"):
            raise errors.UserError(
                f"{name} is {path}, and a pod has another home folder than this "
                "machine: give the path in the image, or gs://BUCKET/FOLDER."
            )


def check_reach(config: ml_collections.ConfigDict) -> list[str]:
    """Return a warning for each path that the image must hold.

    Raises:
        UserError: a pod could not read a path.
    """
    name, weights = config.model.name, config.model.initial_weights
    found = [("data.dir", config.data.dir, "the data", "FOLDER")]
    if model_file.is_path(name):
        found.append(("model.name", name, "the model", "FILE"))
    if weights:
        found.append(("model.initial_weights", weights, "the weights", "FOLDER"))
    found += [
        ("model.trusted_modules", module, "the module", "")
        for module in own_code.parse(config.model.trusted_modules)
        if own_code.is_file(module)
    ]
    return [line for one in found if (line := _check_path(*one))]


def _check_path(key: str, path: str, what: str, in_bucket: str) -> str:
    """Refuse a path that a pod cannot read; return a warning of one in the image.

    Args:
        key: The config key that has it.
        path: The path.
        what: What is there, in words.
        in_bucket: What it may be in a bucket; '' for what must be in the image.
    """
    if in_bucket and checks.is_remote(path):
        return ""
    if not path.startswith("/") or "://" in path:
        bucket = f"gs://BUCKET/{in_bucket}, or " if in_bucket else ""
        raise errors.UserError(
            f"`{key}` is {path!r}; on GKE it must be {bucket}an absolute path in the "
            "image."
        )
    return f"`{key}` is {path}: the image must hold {what} there."
