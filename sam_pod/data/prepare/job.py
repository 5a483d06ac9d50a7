"""Write a data set as shards that the trainer reads: once, before training.

python -m sam_pod.data.prepare --dataset=cifar10 --source=download --output=data/cifar10
python -m sam_pod.data.prepare --dataset=images --source=PATH --output=data/images
python -m sam_pod.data.prepare --dataset=imagenet --source=PATH --output=data/imagenet
    --labels=PATH/ILSVRC2012_devkit_t12.tar.gz
python -m sam_pod.data.prepare --dataset=digits --output=data/digits

--output must be empty or new, and outside the source. It appears whole or not at all,
and the same source and options give the same bytes. Exit codes: 0 done, 1 a mistake to
fix (one line says which), 42 interrupted: the same command continues, as it does after
any kill.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import tqdm

from sam_pod import errors, redaction, wording
from sam_pod.data.prepare import flags
from sam_pod.data.sources import table
from sam_pod.data.stored import names
from sam_pod.process import data_commands, heavy_imports
from sam_pod.storage import files, new_folder, turns

# Whatever needs TensorFlow is imported where it is used: --help and a wrong flag
# answer at once, and `main` can set first how TensorFlow behaves.
if TYPE_CHECKING:
    from absl import flags as absl_flags

    from sam_pod.data.prepare import shards
    from sam_pod.data.stored import manifest as manifest_lib
    from sam_pod.data.stored import records

READERS = table.READERS

_EXAMPLES_PER_PROCESS = 10_000  # A process needs seconds to start.
_BYTES_PER_PROCESS = 64 << 20


def check_name(name: str, directory: str) -> None:
    """Refuse a name that no data set can have: see what lies in the folder, too.

    Args:
        name: The value of `data.name`.
        directory: The value of `data.dir`. A data set there has its own name.

    Raises:
        UserError: with the nearest name.
    """
    if name not in READERS and files.exists(os.path.join(directory, "manifest.json")):
        return  # Whose name is compared when it is read.
    errors.lookup(READERS, name, "data.name")


def prepare(
    dataset: str,
    source: str,
    output: str,
    *,
    num_shards: int = 0,
    caller: turns.Caller | None = None,
    label_noise: float = 0.0,
    label_noise_kind: str = "excluding",
) -> "manifest_lib.Manifest":
    """Write the data set to the folder `output`, in this process, as it is by default.

    Args:
        dataset: One of READERS.
        source: The value of --source.
        output: A folder that is empty or does not exist.
        num_shards: The files per split; 0 leaves them to the size.
        caller: This process; its `raise_if_stopped` is called now and then, and what
            that raises ends the preparation.
        label_noise: The share of the training labels to draw again.
        label_noise_kind: One of `data_rows.NOISE_KINDS`.

    Raises:
        UserError: the source, an example of it, or the output is not as it must be.
    """
    caller = caller or turns.Caller()
    request = table.Request(
        source=source,
        output=output,
        raise_if_stopped=caller.raise_if_stopped,
        say=caller.say,
    )
    written = prepare_with(
        dataset,
        request,
        num_shards=num_shards,
        label_noise=label_noise,
        label_noise_kind=label_noise_kind,
    )
    return written.manifest


def prepare_with(
    dataset: str,
    request: table.Request,
    *,
    name: str = "",
    encoding: str = "",
    num_shards: int = 0,
    num_processes: int = 1,
    **options: float | str,
) -> "shards.Written":
    """Write a data set.

    Args:
        dataset: One of READERS.
        request: The source and where to write it.
        name: The data set's name; by default the source's.
        encoding: 'raw' or 'encoded'; by default what suits the source.
        num_shards: The files per split; 0 leaves them to the size.
        num_processes: The processes; 0 for as many as there are cores and work.
        options: Further options of `shards.ShardOptions`.

    Raises:
        UserError: the source, an example of it, or the output is not as it must be.
    """
    reader = errors.lookup(READERS, dataset, "dataset")
    _check_places(request.source, request.output)  # Before anything is downloaded.
    if num_processes < 0:
        raise errors.UserError(
            f"`num_processes` is {num_processes}; it must be 0 or above."
        )
    from sam_pod.data.prepare import shards

    choice = shards.ShardOptions(encoding=encoding or reader.encoding, **options)
    shards.check(num_shards, choice)
    found = table.read(dataset, request)
    if name:
        found = dataclasses.replace(found, name=name)
    total = sum(split.num_examples for split in found.splits.values())
    # None turns the bar off where stderr is no terminal.
    with tqdm.tqdm(total=total, desc=dataset, unit=" images", disable=None) as bar:

        def progress(count: int) -> None:
            bar.update(count)
            request.raise_if_stopped()

        def say(line: str) -> None:
            with tqdm.tqdm.external_write_mode():  # Not behind the bar.
                request.say(line)

        return shards.write_with(
            found,
            request.output,
            num_shards,
            choice,
            num_processes=num_processes or _processes_for(found, total),
            progress=progress,
            say=say,
        )


def _check_places(source: str, output: str) -> None:
    """Refuse an output that cannot be made, or would be a part of its source."""
    new_folder.check(output)
    if source == "download" or files.is_remote(output) or not os.path.exists(source):
        return
    around, path = os.path.realpath(source), os.path.realpath(output)
    if os.path.commonpath([around, path]) == around:
        raise errors.UserError(
            f"`output` {output} lies within `source` {source}, and would be read as a "
            "part of it the next time: name a folder outside."
        )


def _processes_for(source: "records.Source", total: int) -> int:
    """Return how many processes a source has work for, at most one for each core."""
    num_bytes = sum(split.num_bytes for split in source.splits.values())
    enough = 1 + total // _EXAMPLES_PER_PROCESS + num_bytes // _BYTES_PER_PROCESS
    return min(len(os.sched_getaffinity(0)), enough)


def parse(argv: list[str]) -> "absl_flags.FlagValues":
    """Return the values of this command's flags; see `flags.parse`."""
    return flags.parse(argv, READERS, __doc__)


def turn(
    values: "absl_flags.FlagValues", caller: turns.Caller
) -> contextlib.AbstractContextManager[bool]:
    """Wait while another process prepares the same; enter whether it is to be done.

    Args:
        values: The values of this command's flags.
        caller: This process, as a caller.

    Raises:
        UserError: the other process has failed, or prepares it otherwise.
    """
    _check_places(values.source, values.output)  # Before a folder is made.
    # In a bucket it is made on the local disk first: this machine's processes wait.
    place = new_folder.partial(values.output).removesuffix(".partial")
    return turns.turn(place, flags.wanted(values), caller)


_ONE_CLASS = (
    "Nothing can be learned of one class: where --source is the folder of a class, "
    "give the one above; where a column says it, name another"
)


def summary(output: str, manifest: "manifest_lib.Manifest", seconds: float) -> str:
    """Return one line about a data set that was prepared."""
    shape = "x".join(map(str, manifest.image_shape))
    if manifest.image_encoding == "encoded":
        shape = "encoded images"
    noise = manifest.noise_in_words()
    sizes = {split: manifest.num_examples(split) for split in manifest.splits}
    shards = [shard for part in manifest.splits.values() for shard in part]
    return (
        f"{names.readable(output)}: "
        + " + ".join(f"{size:,} {split}" for split, size in sizes.items())
        + f" examples of {shape} in "
        + f"{wording.counted(len(manifest.classes), 'class', 'classes')}, "
        + (f"{noise}, " if noise else "")
        + "+".join(str(len(part)) for part in manifest.splits.values())
        + f" shards, {sum(shard.num_bytes for shard in shards) / 1e6:.1f} MB"
        + f" in {seconds:.1f} s"
        + ("" if len(manifest.classes) > 1 else f". {_ONE_CLASS}")
    )


def _run(argv: list[str], raise_if_stopped: Callable[[], object]) -> None:
    values = parse(argv)
    start = time.monotonic()
    request = table.Request(
        source=values.source,
        output=values.output,
        labels=values.labels,
        image_column=values.image_column,
        label_column=values.label_column,
        image_shape=flags.image_shape(values),
        splits=flags.wish(values),
        raise_if_stopped=raise_if_stopped,
        say=lambda line: redaction.tell(f"{line}\n"),
    )
    with turn(values, request.caller) as is_ours:
        if not is_ours:
            print(f"{values.output} was prepared by that process.")
            return
        heavy_imports.tensorflow_alone()
        report = prepare_with(
            values.dataset,
            request,
            name=values.name,
            encoding=values.encoding,
            num_shards=values.num_shards,
            num_processes=values.num_processes,
            image_size=values.image_size,
            channels=values.channels,
            skip_bad=values.skip_bad,
            background=values.background,
            sixteen_bit=values.sixteen_bit,
            label_noise=values.label_noise,
            label_noise_kind=values.label_noise_kind,
            noise_seed=values.noise_seed,
        )
    for decision in report.manifest.decisions:
        print(f"Decided: {decision}")
    for key, fault in report.faults:
        print(f"Left out: {names.readable(key)} {fault}.")
    if report.skipped:
        count = wording.counted(len(report.skipped), "image", "images")
        print(f"Left out {count} in all.")
    print(summary(values.output, report.manifest, time.monotonic() - start))


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    advice = "the same command continues."
    return data_commands.run(
        lambda raise_if_stopped: _run(argv, raise_if_stopped), advice
    )
