"""Runs that were made elsewhere, known by their configs."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.study import found, trials

# Workdirs by seed and what equal runs share of their configs.
Known = Mapping[tuple[int, str], Sequence[str]]


def find(folders: Iterable[str]) -> Known:
    """Return the runs below folders that are at their end: finished or diverged.

    Raises:
        UserError: a folder is not there.
    """
    known: dict[tuple[int, str], list[str]] = {}
    for top in folders:
        if not os.path.isdir(top):
            raise errors.UserError(
                f"--runs={top} is no folder; give one that has workdirs in it."
            )
        for folder in _workdirs(top):
            try:
                config = workdir_lib.read_config(folder)
                if not _is_at_its_end(folder, config):
                    continue
            except errors.UserError:
                continue  # No run of this study, as far as can be told.
            known.setdefault(_key_of(config, config.seed), []).append(folder)
    return known


def workdirs_of(known: Known, run: trials.Run) -> Sequence[str]:
    """Return the workdirs of a run among those that are known."""
    return known.get(_key_of(run.trial.config, run.seed), ())


def unfit(known: Known, runs: Sequence[trials.Run]) -> str:
    """Return a line that says why none of the known runs is one of these.

    It is '' where one is.
    """
    if any(workdirs_of(known, run) for run in runs):
        return ""
    if not known:
        return "--runs: there is no run there that has finished or diverged."
    # Those of one key are alike.
    configs = {each[0]: workdir_lib.read_config(each[0]) for each in known.values()}
    differing, folder, name = min(
        (_differing(config, run), folder, run.name)
        for folder, config in configs.items()
        for run in runs
    )
    return (
        f"--runs: of {sum(map(len, known.values()))} there none is a run of this "
        f"study. Nearest is {folder} to {name}: it differs in "
        f"{', '.join(differing[1])}."
    )


def _differing(config: Mapping[str, Any], run: trials.Run) -> tuple[int, list[str]]:
    differ = trials.different_keys(config, run.trial.config)
    differ += ["seed"] if config["seed"] != run.seed else []
    return len(differ), differ


def _is_at_its_end(folder: str, config: Mapping[str, Any]) -> bool:
    if continuing.finished(folder, config) is not None:
        return True
    ending = found.ending(folder)
    return ending is not None and ending[0] == found.DIVERGED


def _key_of(config: Mapping[str, Any], seed: int) -> tuple[int, str]:
    """Return what equal runs share."""
    flat = {
        name: value
        for name, value in keys.flatten(config).items()
        if name not in trials.NOT_COMPARED
    }
    return seed, json.dumps(flat, sort_keys=True)


def _workdirs(top: str) -> Iterator[str]:
    for folder, subfolders, names in os.walk(top):
        subfolders.sort()
        if workdir_lib.CONFIG in names:
            subfolders.clear()
            yield folder
