"""Files of events, cut before the points that a run that continues writes again.

A kill leaves points after the last checkpoint, and perhaps half a record, at which
readers stop. One process wrote each file, in order, so the file is cut at the first
point that will be written again, and a cut that is killed is simply made again.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping

import tensorflow as tf
from absl import logging
from google.protobuf import message

from sam_pod import errors, wording
from sam_pod.data.stored import framing
from sam_pod.sam import variant
from sam_pod.step import metrics
from sam_pod.storage import faults, files, objects

# The last step whose point stays, by split. What each run writes before its first step
# belongs to "train".
Limits = Mapping[str, int]

NOTHING: Limits = {"train": -1, "validation": -1, "test": -1}

# The names of tf.summary's writer; the profiler's file of events has another end.
_NAME = re.compile(r"events\.out\.tfevents\.\d+\..+\.\d+\.\d+\.v2")
_EVALUATIONS = [f"{s}/{m}" for s in ("validation", "test") for m in metrics.EVALUATED]
TAGS = frozenset(
    [
        *(*metrics.TRAIN, metrics.EXAMPLES_PER_SECOND, metrics.WAIT_FRACTION),
        *_EVALUATIONS,
        *(f"train/{name}" for name in variant.METRICS),
        *("config", "parameter_overview", "_hparams_/session_start_info"),
        *("train/contact_sheet", "train/contact_sheet_labels"),
    ]
)
# Each name below it is ours: what the instruments measured after an epoch's training.
SHARPNESS = "sharpness/"
_TAIL_BYTES = 1 << 13


def limits(
    step: int, validated_step: int, result: Mapping[str, object] | None
) -> Limits:
    """Return the last points that a run keeps when it continues from a checkpoint.

    Args:
        step: The checkpoint's step.
        validated_step: The step of the last validation that it knows.
        result: The run's result, if it was finished before and is trained for longer.
    """
    is_tested = result is not None and result.get("steps") == step
    return {
        "train": step,
        "validation": validated_step,
        "sharpness": validated_step,  # Of the same epochs.
        "test": step if is_tested else step - 1,
    }


def check_own(tags: Iterable[str]) -> None:
    """Refuse a tag by which a run that continues would not know its own file.

    Raises:
        ValueError: it is not declared here.
    """
    for tag in tags:
        if not _is_own(tag):
            raise ValueError(f"{tag!r} is none of event_files.TAGS: declare it there")


def _is_own(tag: str) -> bool:
    return tag in TAGS or tag.startswith(SHARPNESS)


def cut(workdir: str, last: Limits) -> None:
    """Cut the files of events that runs wrote to a folder, whose lock is held.

    Files in which others wrote stay, and so do those that cannot be read or cut, which
    a line reports.

    Args:
        workdir: The run's folder, on a disk or in a bucket.
        last: The last points that stay, as returned by `limits`.

    Raises:
        UserError: a right is missing in a bucket.
        StorageLost: the bucket's service does not answer.
    """
    points = num_files = 0
    with faults.explained(workdir):
        for name in filter(_NAME.fullmatch, files.names(workdir)):
            try:
                found = _cut_file(os.path.join(workdir, name), last)
            except (OSError, ValueError, message.DecodeError) as error:
                if isinstance(error, errors.UserError):
                    raise
                logging.warning(
                    "Left %s/%s as it is (%s): TensorBoard may show a step twice.",
                    *(workdir, name, errors.reason(error)),
                )
            else:
                points, num_files = points + found, num_files + bool(found)
    if points:
        logging.info(
            "Cut from the events what %sis written again: %s in %s.",
            f"comes after step {last['train']} and " if last["train"] > 0 else "",
            wording.counted(points, "point", "points"),
            wording.counted(num_files, "file", "files"),
        )


@dataclasses.dataclass
class _Found:
    """The result of a walk over a file of events."""

    last: Limits
    is_ours: bool = True
    kept: int = 0  # Points before the cut.
    beyond: int = 0  # Points after it.
    cut: int = 0  # The byte where the first of them starts.

    def visit(self, content: bytes, starts: list[int]) -> None:
        """Look at whole records, which start at `starts` in the file."""
        for start in starts:
            event = _event(content, start - starts[0])
            for value in event.summary.value:
                self._point(value.tag, event.step, start)

    def _point(self, tag: str, step: int, start: int) -> None:
        self.is_ours &= _is_own(tag)
        if not self.is_ours:
            return
        if _is_beyond(tag, step, self.last):
            self.cut = self.cut if self.beyond else start
            self.beyond += 1
        elif self.beyond:
            raise ValueError(f"step {step} of {tag} comes after later ones")
        else:
            self.kept += 1


def _event(content: bytes, start: int) -> tf.compat.v1.Event:
    return tf.compat.v1.Event.FromString(framing.data_of(content, start))


def _is_beyond(tag: str, step: int, last: Limits) -> bool:
    return step > last.get(tag.partition("/")[0], last["train"])


def _ends_before(path: str, last: Limits) -> bool:
    """Return whether a file's last record stays, so that those before it do, too.

    To walk over all that a run has written takes 80 us a step.
    """
    if files.is_remote(path):
        return False
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        tail = file.read()
    if not (starts := framing.starts_at_end(tail)):
        return False
    event = _event(tail, starts[-1])
    points = [(value.tag, event.step) for value in event.summary.value]
    return bool(points) and not any(_is_beyond(*point, last) for point in points)


def _cut_file(path: str, last: Limits) -> int:
    """Return how many points were cut; raise where the content is not clear."""
    if _ends_before(path, last):
        return 0
    found = _Found(last)
    scan = framing.scan(path, found.visit)
    if not found.is_ours:
        return 0
    if found.beyond and not found.kept:
        files.remove(path)
    elif found.beyond:
        _truncate(path, found.cut)
    elif scan.fault == "corrupt":
        raise ValueError(f"its record at byte {scan.offset} is corrupt")
    elif scan.fault:
        _truncate(path, scan.offset)
    return found.beyond


def _truncate(path: str, size: int) -> None:
    """Leave the first `size` bytes of a file, which at any moment is old or new."""
    if files.is_remote(path):
        content = objects.read(path)
        files.write_bytes(path, content[:size])
        return
    os.truncate(path, size)
    files.sync(path)
