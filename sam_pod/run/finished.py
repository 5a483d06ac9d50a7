"""A finished run, whose figures answer a command that names its inputs alone.

A prepared data set and a model's file are compared without TensorFlow.
"""

import json
import os
from typing import TYPE_CHECKING, Any

import ml_collections
from absl import logging

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.models import model_file, own_code
from sam_pod.process import heavy_imports
from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files

if TYPE_CHECKING:
    from sam_pod.machines.workers import Workers


def find(workdir: str, config: ml_collections.ConfigDict) -> dict[str, Any] | None:
    """Return the result of a run that has nothing left to train, or None.

    The log says so, and which inputs are no longer there to be compared.

    Raises:
        UserError: an input has another content than the run's.
    """
    result = continuing.finished(workdir, config)
    if result is None:
        return None
    gone = compare(workdir, config)
    way_on = continuing.way_on(result, config)
    logging.info("This run is finished already. %s", way_on)
    for line in gone:
        logging.warning("%s", line)
    return result


def agreed(
    workdir: str, config: ml_collections.ConfigDict, workers: "Workers"
) -> dict[str, Any] | None:
    """Return on every worker what `find` returns on the chief.

    Raises:
        UserError: on every worker, what the chief refuses.
    """
    found, refusal = None, ""
    if workers.is_chief:
        try:
            found = find(workdir, config)
        except errors.UserError as error:
            refusal = str(error)
    both = json.dumps([found, refusal]).encode()
    found, refusal = json.loads(workers.chiefs_bytes(both))
    if refusal:
        raise errors.UserError(refusal)
    return found


def compare(workdir: str, config: ml_collections.ConfigDict) -> list[str]:
    """Refuse other inputs than the run's; return a line for each that is gone.

    Raises:
        UserError: naming the config key.
    """
    path = os.path.join(workdir, workdir_lib.INPUTS)
    values = config_lib.flatten(config)
    known = workdir_lib.read_json(path) or {}
    there, gone = {}, []
    for key, look in _LOOKS.items():
        if not known.get(key):  # A model of this package, or a run of an older version.
            continue
        if digest := look(config):
            there[key] = digest
        else:
            gone.append(
                f"`{key}` {values[key]} is not there: "
                f"the result is of the content {str(known[key])[:12]}… in {path}."
            )
    workdir_lib.check_inputs(workdir, config, there)
    return gone


def _of_data(config: ml_collections.ConfigDict) -> str:
    """Return the digest of the data; '' where they are not there."""
    directory = config.data.dir
    if config.data.files.train:
        return _of_foreign(config) if _is_there(directory) else ""
    if not _is_there(os.path.join(directory, manifest_lib.FILE_NAME)):
        return ""
    return manifest_lib.read(directory).digest()


def _of_foreign(config: ml_collections.ConfigDict) -> str:
    heavy_imports.tensorflow()
    from sam_pod.data.input import dataset, patterns

    try:
        patterns.matching(config.data.dir, config.data.files.train, "")
    except errors.UserError:  # The folder is there, and no such files are.
        return ""
    return dataset.read_manifest(config).digest()


def _is_there(path: str) -> bool:
    """Return whether there is something; not where a bucket cannot be asked."""
    try:
        files.check_scheme(path, "`data.dir`")
        with faults.explained(path, "read"):
            return files.exists(path)
    except (errors.UserError, faults.StorageLost):
        return False


def _of_model(config: ml_collections.ConfigDict) -> str:
    try:
        is_there = model_file.is_there(config.model.name)
    except (errors.UserError, faults.StorageLost):
        is_there = False
    return model_file.digest(config.model.name) if is_there else ""


def _of_code(config: ml_collections.ConfigDict) -> str:
    names = config.model.trusted_modules
    return own_code.digest(names) if own_code.are_there(names) else ""


_LOOKS = {
    "data.dir": _of_data,
    "model.name": _of_model,
    "model.trusted_modules": _of_code,
}
