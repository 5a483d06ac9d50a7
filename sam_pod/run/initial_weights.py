"""The weights that a run begins with, where `model.initial_weights` names some.

The run keeps what it took, so that it takes it once: a run that continues before its
first checkpoint begins with the same, whatever has become of where it was from.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

import ml_collections
import numpy as np
from absl import logging

from sam_pod import errors
from sam_pod.data.input import dataset
from sam_pod.models import model_file, releases, transfer
from sam_pod.models import network as network_lib
from sam_pod.run import checkpoint_folder, checkpoint_values
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files

KEY = "model.initial_weights"
VALUES, REPORT = "initial_weights.npz", workdir_lib.INITIAL_WEIGHTS
_EXPORTED, _MANIFEST = "values.npz", "manifest.json"
_REMEDY = (
    "name a run's workdir, a folder that sam_pod.export wrote, or a file that "
    "model.save('x.keras') wrote"
)
_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile)


class Source(NamedTuple):
    """Variables that were found."""

    what: str  # What they are from, in words.
    values: dict[str, np.ndarray]  # Weights and statistics by name.
    input_range: str  # In which their model was fed; '' where that is not known.
    image_shape: tuple[int, int, int] | None = None  # Likewise (H, W, C), or None.


def find(workdir: str, config: ml_collections.ConfigDict) -> Source | None:
    """Return the variables at `model.initial_weights`; None where a run has its own.

    That is a run's workdir, a folder that `sam_pod.export` wrote, or a model's file.

    Raises:
        UserError: there is none of these.
    """
    if not config.model.initial_weights or _has_begun(workdir):
        return None
    path = config.model.initial_weights
    files.check_scheme(path, f"`{KEY}`")
    with faults.explained(path, "read"):
        inside = files.names(path) if files.is_folder(path) else []
    inside = {name.strip("/") for name in inside}
    # A run that has no checkpoint yet has a file of its own.
    if {workdir_lib.CHECKPOINTS, workdir_lib.INPUTS} & inside:
        return _of_run(path, config.model.initial_checkpoint)
    _check_one_state(path, config.model.initial_checkpoint)
    if _EXPORTED in inside:
        return _of_export(path)
    return _of_file(path, config.model.trusted_modules)


def _check_one_state(path: str, which: str) -> None:
    """Refuse what is within a workdir, and a choice where there is none."""
    workdir, inside, _ = path.rpartition(f"/{workdir_lib.CHECKPOINTS}")
    if inside and files.is_folder(workdir):
        raise errors.UserError(
            f"`{KEY}` is {path!r}, which is within a run's workdir: name that, "
            f"{workdir!r}, and in `model.initial_checkpoint` 'latest' or 'best'."
        )
    if which != "latest":
        raise errors.UserError(
            f"`model.initial_checkpoint` is {which!r}, and `{KEY}` {path!r} is no "
            "run's workdir, which may have several: leave it at 'latest'."
        )


def _has_begun(workdir: str) -> bool:
    """Return whether a run has its first weights, or others since."""
    if checkpoint_folder.paths(os.path.join(workdir, workdir_lib.CHECKPOINTS)):
        return True
    path = os.path.join(workdir, VALUES)
    with faults.explained(path, "read"):
        return files.exists(path)


def _of_run(path: str, which: str) -> Source:
    directory = os.path.join(path, workdir_lib.CHECKPOINTS)
    found = checkpoint_folder.paths_of(directory, which)
    if not found:
        raise errors.UserError(
            f"`{KEY}` is {path!r}, a run that has no {which} checkpoint: train it "
            "until one is saved, or set `model.initial_checkpoint` to the other of "
            "'latest' and 'best'."
        )
    decided = workdir_lib.read_json(os.path.join(path, workdir_lib.DECISIONS)) or {}
    what = f"{path} ({os.path.basename(found[-1])}, its {which} checkpoint)"
    return Source(
        what,
        checkpoint_values.evaluated(found[-1]),
        str(decided.get("model.input_range", "")),
        _image_shape_of_run(path),
    )


def _image_shape_of_run(path: str) -> tuple[int, int, int] | None:
    """Return (H, W, C) of a run's images where its prepared data are still there."""
    try:
        config = workdir_lib.read_config(path)
        if dataset.is_foreign(config):  # Reading what these are takes a scan.
            return None
        return dataset.image_shape(config, dataset.read_manifest(config))
    except errors.UserError:
        return None


def _of_export(path: str) -> Source:
    file = os.path.join(path, _EXPORTED)
    with faults.explained(file, "read"):
        content = files.read_bytes(file)
    try:
        with np.load(io.BytesIO(content or b"")) as arrays:
            values = {
                name.partition("/")[2]: arrays[name]
                for name in arrays.files
                if name.startswith(("weights/", "stats/"))
            }
    except _DAMAGED as error:
        raise errors.UserError(
            f"{file} cannot be read ({errors.reason(error)}): export the run again."
        ) from error
    manifest = workdir_lib.read_json(os.path.join(path, _MANIFEST)) or {}
    fed = manifest.get("preprocessing", {}).get("input_range", "")
    shapes = [
        tensor.get("shape", ())
        for program in manifest.get("programs", {}).values()
        for tensor in program.get("inputs", ())
        if tensor.get("name") == "images"
    ]
    shape = tuple(shapes[0][1:]) if shapes else None
    return Source(f"{path} (exported)", values, str(fed), shape)


def _of_file(path: str, trusted_modules: str) -> Source:
    try:
        model = releases.load(model_file.read(path), trusted_modules)
    except errors.UserError as error:
        line = str(error).replace("`model.name`", f"`{KEY}`", 1)
        line = line.replace(model_file.REMEDY, _REMEDY)
        raise errors.UserError(line) from error
    shapes = [tuple(each.shape[1:]) for each in getattr(model, "inputs", None) or ()]
    is_known = len(shapes) == 1 and len(shapes[0]) == 3 and all(shapes[0])
    return Source(path, transfer.variables(model), "", shapes[0] if is_known else None)


def take(
    source: Source,
    network: network_lib.Network,
    image_shape: tuple[int, int, int],
    input_range: str,
    name: str,
) -> transfer.Fit:
    """Return what a network takes of a source, and log it.

    Args:
        source: What there is.
        network: The run's.
        image_shape: (H, W, C).
        input_range: In which the run feeds its images.
        name: `model.name`.

    Raises:
        UserError: nothing fits; the line has names and shapes.
    """
    found = transfer.fit(network, source.values, image_shape, source.image_shape)
    if not found.taken_parameters:
        raise errors.UserError(
            f"`{KEY}` is {source.what}, of which nothing fits {name!r}: "
            f"{found.mismatches()}; name the weights of such a model, or leave it at "
            "''."
        )
    # New variables below the last layer may be meant, and may be another network.
    log = logging.info if found.is_head_alone else logging.warning
    log("Weights of %s: %s.", source.what, found.line())
    if source.input_range and source.input_range != input_range:
        logging.warning(
            "%s was fed images in the range %r, and this run feeds %r: see "
            "`model.input_range`.",
            source.what,
            source.input_range,
            input_range,
        )
    return found


def keep(workdir: str, source: Source, found: transfer.Fit) -> None:
    """Write what a run took to its folder, the values last.

    Raises:
        UserError: the disk is full or not writable.
    """
    report = {
        "from": source.what,
        "digest": _digest(found.values),
        "taken": sorted(found.values),
        "resized": found.resized,
        "new": sorted(found.new),
        "unused": sorted(found.unused),
    }
    content = io.BytesIO()
    np.savez(content, **found.values)
    with faults.explained(workdir):
        text = json.dumps(report, indent=2) + "\n"
        files.write(os.path.join(workdir, REPORT), text)
        files.write_bytes(os.path.join(workdir, VALUES), content.getvalue())


def _digest(values: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their names."""
    digest = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def kept(workdir: str) -> Mapping[str, np.ndarray]:
    """Return what a run took when it began; nothing where it took none.

    Raises:
        UserError: it cannot be read.
    """
    path = os.path.join(workdir, VALUES)
    with faults.explained(path, "read"):
        content = files.read_bytes(path)
    if content is None:
        return {}
    try:
        with np.load(io.BytesIO(content)) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _DAMAGED as error:
        raise errors.UserError(
            f"{path} cannot be read ({errors.reason(error)}): delete it, and the run "
            f"takes its weights from `{KEY}` again."
        ) from error
