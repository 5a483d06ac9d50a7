"""What may change when a run is continued: by itself, or with a word of consent.

`replicas.json` in the workdir says over how many replicas and workers the run's steps
are spread, and how that has changed. Runs of older versions lack it.
"""

import json
import os
from typing import Any

import ml_collections

from sam_pod import errors
from sam_pod.run import checkpoint_folder, result_file
from sam_pod.run import spread as spread_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files

HINT = (
    "To train it for longer, run the same command with a higher --config.num_epochs "
    "and --accept_change=num_epochs."
)
HINT_STOPPED = (
    "Early stopping ended it; to continue, run the same command with a higher "
    "--config.early_stopping.patience and "
    "--accept_change=early_stopping.patience."
)


def finished(workdir: str, config: ml_collections.ConfigDict) -> dict[str, Any] | None:
    """Return the result of a run that has nothing left to train, or None.

    A result stays in its place until that of a longer run replaces it.
    """
    result = result_file.read(workdir)
    if result is None or "epochs" not in result:
        return result
    whole = result["epochs"] >= config.num_epochs
    return result if whole or _is_stopped(result, config) else None


def way_on(result: dict[str, Any], config: ml_collections.ConfigDict) -> str:
    """Return how a finished run is trained for longer."""
    if _is_stopped(result, config) and result["epochs"] < config.num_epochs:
        return HINT_STOPPED
    return HINT


def _is_stopped(result: dict[str, Any], config: ml_collections.ConfigDict) -> bool:
    since_best = result.get("epochs", 0) - result.get("best_epoch", 0)
    return 0 < config.early_stopping.patience <= since_best


def check_spread(
    workdir: str,
    config: ml_collections.ConfigDict,
    new: spread_lib.Spread,
    accepted: frozenset[str],
    *,
    draws_by_batch: bool = False,
) -> str:
    """Refuse another update than that of the run so far, unless it is accepted.

    Returns:
        A line about the change; '' where nothing has changed.

    Raises:
        UserError: naming what would be another update.
    """
    noted, here = _read(workdir), spread_lib.name(new)
    if noted is None:
        if workdir_lib.read_json(os.path.join(workdir, workdir_lib.CONFIG)) is None:
            return ""
        return f"How this run was spread is not noted; it continues on {here}."
    old = noted[0]
    phrases, there = spread_lib.changes(old, new, config), spread_lib.name(old)
    if phrases and "replicas" not in accepted:
        raise errors.UserError(
            f"{workdir} holds a run on {there}, and this is one on {here}: "
            f"{' and '.join(phrases)}, so that its steps would be others from here on. "
            "Continue it as it was, give another --workdir, or accept that: "
            "--accept_change=replicas."
        )
    if phrases:
        return f"From {there} to {here}, as accepted: {' and '.join(phrases)}."
    if (old.replicas, old.workers) != (new.replicas, new.workers):
        drawn = " and what layers draw for a batch" if draws_by_batch else ""
        stays = f"the update stays the same, but for rounding{drawn}"
        return f"From {there} to {here}: {stays}."
    return ""


def note_spread(workdir: str, new: spread_lib.Spread) -> None:
    """Note in the workdir, whose lock is held, how further steps are spread."""
    noted = _read(workdir)
    changes = []
    if noted is not None:
        old, changes = noted
        if old == new:
            return
        step, _ = done(workdir)
        before = old.to_json()
        if changes and changes[-1]["step"] == step:  # No step was taken since.
            before = changes.pop()["from"]
        if before != new.to_json():
            changes.append({"step": step, "from": before})
    content = {**new.to_json(), "changes": changes}
    with faults.explained(workdir):
        files.write(
            os.path.join(workdir, workdir_lib.REPLICAS),
            json.dumps(content, indent=2) + "\n",
        )


def spread_of(workdir: str) -> dict[str, Any]:
    """Return the notes on a run, for its result; {} for one of an older version."""
    noted = _read(workdir)
    return {} if noted is None else {**noted[0].to_json(), "changes": noted[1]}


def check_epochs(workdir: str, config: ml_collections.ConfigDict) -> None:
    """Refuse fewer epochs than the run has trained already.

    Raises:
        UserError: with both numbers.
    """
    _, epochs = done(workdir)
    if config.num_epochs < epochs:
        raise errors.UserError(
            f"`num_epochs` is {config.num_epochs}, and the run in {workdir} has "
            f"trained {epochs}: give at least so many, or another --workdir."
        )


def done(workdir: str) -> tuple[int, int]:
    """Return the step and the validated epochs of a run's last checkpoint, or zeros."""
    found = checkpoint_folder.paths(os.path.join(workdir, workdir_lib.CHECKPOINTS))
    if not found:
        return 0, 0
    _, step, epochs = os.path.basename(found[-1]).split("-")
    return int(step), int(epochs)


def _read(workdir: str) -> tuple[spread_lib.Spread, list[Any]] | None:
    path = os.path.join(workdir, workdir_lib.REPLICAS)
    content = workdir_lib.read_json(path)
    if content is None:
        return None
    try:
        changes = content["changes"]
        if not isinstance(changes, list):
            raise ValueError("'changes' is no list")
        return spread_lib.from_json(content), changes
    except (KeyError, ValueError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({error}): restore it, or give another --workdir."
        ) from error
