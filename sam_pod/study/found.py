"""What the workdir of a run holds: its state, its result, its curve."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.run import continuing, curve
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import files
from sam_pod.study import places, trials

SHARPNESS = "sharpness.json"  # What the instruments have measured, if anything.

# States of a run.
FINISHED = "finished"
MISSING = "missing"  # Not begun.
UNFINISHED = "not finished"
DIVERGED = "diverged"
FAILED = "failed"
OTHER = "another run"  # Its folder holds a run of another config.


@dataclasses.dataclass(frozen=True)
class Found:
    """A run, as its workdir shows it."""

    run: trials.Run
    workdir: str
    state: str
    why: str = ""  # In one line, where it is not finished.
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    points: tuple[curve.Point, ...] = ()
    sharpness: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Of what the run has read, by the config key that names it.
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    spread: places.Spread | None = None  # None where that is not known.
    # Keys that say on what to run, and are other than asked, without another update.
    other_place: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is left to run."""
        return self.state in (FINISHED, DIVERGED, OTHER)


def outcome_path(workdir: str) -> str:
    """Return where it is noted how a run has failed."""
    return f"{workdir}.outcome.json"


def log_path(workdir: str) -> str:
    """Return where the output of a run's processes goes."""
    return f"{workdir}.log"


def running_path(workdir: str) -> str:
    """Return the file that a run's process holds locked from its first moment on."""
    return f"{workdir}.running"


def note(workdir: str, code: int, line: str) -> None:
    """Note that the last process of a run has failed, with its one line."""
    text = json.dumps({"exit_code": code, "line": line}, indent=2) + "\n"
    files.write(outcome_path(workdir), text)


def look(run: trials.Run, workdir: str, elsewhere: Iterable[str] = ()) -> Found:
    """Return what is there of a run.

    Args:
        run: The run.
        workdir: Its own folder.
        elsewhere: Folders of runs of the same config, made elsewhere, that are at
            their end.
    """
    own = _look(run, workdir)
    if own.state == FINISHED:
        return own
    others = [_look(run, folder) for folder in elsewhere]
    finished = [other for other in others if other.state == FINISHED]
    if finished:
        return min(finished, key=lambda other: len(other.other_place))
    diverged = [other for other in others if other.state == DIVERGED]
    if diverged and own.state == MISSING:
        return diverged[0]
    refused = [f"{each.workdir}: {each.why}" for each in others]
    return dataclasses.replace(own, why="; ".join([own.why, *refused]))


def _look(run: trials.Run, workdir: str) -> Found:
    try:
        return _read(run, workdir)
    except errors.UserError as error:
        return Found(run, workdir, FAILED, str(error))


def _read(run: trials.Run, workdir: str) -> Found:
    content = workdir_lib.read_json(os.path.join(workdir, workdir_lib.CONFIG))
    if content is None:
        return _with_outcome(run, workdir, MISSING, "not begun")
    config = keys.lay_over_defaults(content, workdir)
    if not run.is_config(config):
        differ = trials.different_keys(config, run.trial.config)
        differ += ["seed"] if config.seed != run.seed else []
        return Found(run, workdir, OTHER, f"its folder holds another run: {differ}")
    result = continuing.finished(workdir, config)
    if result is None:
        _, epochs = continuing.done(workdir)
        why = f"{epochs} of {config.num_epochs} epochs"
        return _with_outcome(run, workdir, UNFINISHED, why)
    place, spread = places.differing(config, run.trial.config), places.of(result)
    if spread is not None and places.are_two(config, run.trial.config, spread):
        why = f"its folder holds another run: {place}, hence {places.in_words(spread)}"
        return Found(run, workdir, OTHER, why)
    return Found(
        run,
        workdir,
        FINISHED,
        result=result,
        points=tuple(curve.read_or_forget(workdir)),
        sharpness=workdir_lib.read_json(os.path.join(workdir, SHARPNESS)) or {},
        digests=_digests(workdir),
        spread=spread,
        other_place=tuple(place),
    )


def _digests(workdir: str) -> dict[str, str]:
    """Return the digests of what a run has read; '' for what no file was."""
    inputs = workdir_lib.read_json(os.path.join(workdir, workdir_lib.INPUTS)) or {}
    weights = os.path.join(workdir, workdir_lib.INITIAL_WEIGHTS)
    taken = workdir_lib.read_json(weights) or {}
    return {
        **{key: str(digest) for key, digest in inputs.items()},
        "model.initial_weights": str(taken.get("digest", "")),
    }


def _with_outcome(run: trials.Run, workdir: str, state: str, why: str) -> Found:
    return Found(run, workdir, *(ending(workdir) or (state, why)))


def ending(workdir: str) -> tuple[str, str] | None:
    """Return how the last process of a run has failed, and its line; None if not."""
    outcome = workdir_lib.read_json(outcome_path(workdir))
    if outcome is None:
        return None
    code, line = outcome.get("exit_code", 0), str(outcome.get("line", ""))
    is_diverged = code == 1 and "training diverged" in line
    return DIVERGED if is_diverged else FAILED, line or f"exit code {code}"
