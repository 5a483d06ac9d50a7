"""The small files of a study's runs that are at their end, kept without weights.

From them, as `--runs`, anybody can compute the report again.
"""

import os
from collections.abc import Iterable

from sam_pod import errors
from sam_pod.run import curve
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files
from sam_pod.study import found as found_lib

RUNS = "runs"  # The folder of all workdirs, in that of a study.
NAMES = (
    workdir_lib.CONFIG,
    workdir_lib.INPUTS,
    workdir_lib.INITIAL_WEIGHTS,
    workdir_lib.RESULT,
    curve.NAME,
    found_lib.SHARPNESS,
)


def copy(runs: Iterable[found_lib.Found], folder: str) -> None:
    """Copy what a report reads of runs into a folder, laid out as a study's.

    Raises:
        UserError: another run is kept there under the name of one, or the disk is full.
    """
    ends = (found_lib.FINISHED, found_lib.DIVERGED)
    done = [found for found in runs if found.state in ends]
    targets = [os.path.join(folder, RUNS, found.run.name) for found in done]
    for found, target in zip(done, targets, strict=True):
        _check_is_free(found, target)
    with faults.explained(folder):
        for found, target in zip(done, targets, strict=True):
            _copy(found.workdir, target)


def _check_is_free(found: found_lib.Found, target: str) -> None:
    there = found_lib.look(found.run, target)
    if there.state == found_lib.OTHER:
        raise errors.UserError(
            f"--keep: {target} is of another study: {there.why}. Give another "
            "folder, or empty that."
        )


def _copy(workdir: str, target: str) -> None:
    files.make_folders(target)
    pairs = [(os.path.join(workdir, n), os.path.join(target, n)) for n in NAMES]
    # How it has diverged.
    pairs.append((found_lib.outcome_path(workdir), found_lib.outcome_path(target)))
    for source, path in pairs:
        text = files.read(source)
        if text is not None:
            files.write(path, text)
        elif os.path.exists(path):  # Of what was kept there before.
            os.remove(path)
