"""Write a source as shards and a manifest, all of them or nothing.

Everything is written to `DIR.partial`, the manifest last, and then renamed to DIR in
one step, so that a folder with a manifest is always whole. The same source and options
give the same bytes of every file, whatever the number of processes and however often
the work was interrupted: shards that are finished stay in `DIR.partial`.
"""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator

from sam_pod import errors, files, interrupts, new_folder
from sam_pod.data import (
    decoding,
    pixel_sums,
    processes,
    records,
    schema,
    shard_plan,
    shard_writer,
)
from sam_pod.data import manifest as manifest_lib
from sam_pod.data import noise as noise_lib

_KEPT_ON = (KeyboardInterrupt, interrupts.Interrupted, processes.Died)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How the examples are stored."""

    encoding: str = "raw"  # Or 'encoded': the bytes of JPEG, PNG and the like.
    image_size: int = 0  # Raw images become squares of that size; 0: as they are.
    skip_bad: bool = False  # Leave out images that cannot be decoded.
    label_noise: float = 0.0  # See noise.py.
    noise_seed: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """What has been written, and what has been left out."""

    manifest: manifest_lib.Manifest
    skipped: tuple[str, ...]  # Keys of the images that cannot be decoded.


def write(
    source: records.Source, output: str, num_shards: int = 0
) -> manifest_lib.Manifest:
    """Write all splits of a source to the folder `output`, in this process."""
    return write_with(source, output, num_shards).manifest


def write_with(
    source: records.Source,
    output: str,
    num_shards: int = 0,
    options: Options | None = None,
    num_processes: int = 1,
    progress: processes.Progress = lambda count: None,
) -> Report:
    """Write all splits of a source to the folder `output`.

    Args:
        source: Where the examples come from.
        output: A folder that is empty or does not exist.
        num_shards: Files per split, at most one for each example; 0: by the size.
        options: How the examples are stored.
        num_processes: At most one for each shard; 1: all is done in this process.
        progress: Called with the number of examples that were written since it was
            called last; what it raises ends the work.

    Raises:
        UserError: `output` cannot be written, or an example does not fit the source.
    """
    options = options or Options()
    new_folder.check(output)
    check(num_shards, options)
    rules = _rules(source, options)
    parts = list(shard_plan.parts(source, rules, num_shards))
    plan = shard_plan.text(source, rules, parts)
    shard_plan.check_space(source, rules, output, plan)
    with new_folder.write(output, _KEPT_ON) as folder:
        try:
            shard_plan.begin(folder, plan)
            done = processes.run(
                shard_writer.write,
                _tasks(source, rules, parts, folder),
                min(num_processes, len(parts)),
                shard_writer.use_one_thread,
                progress,
            )
            manifest = _manifest(
                source, rules, dict(zip(parts, done, strict=True)), folder
            )
        except Exception:
            progress(0)  # Raises if a signal came: an extension then has other errors.
            raise
        files.write(os.path.join(folder, manifest_lib.FILE_NAME), manifest.to_json())
    shutil.rmtree(os.path.join(output, shard_writer.STATE), ignore_errors=True)
    return Report(manifest, tuple(key for each in done for key in each.skipped))


def check(num_shards: int, options: Options) -> None:
    """Refuse options that cannot be.

    Raises:
        UserError: naming one.
    """
    if num_shards < 0:
        raise errors.UserError(f"`num_shards` is {num_shards}; it must be 0 or above.")
    errors.lookup(dict.fromkeys(schema.ENCODINGS), options.encoding, "encoding")
    if options.image_size < 0:
        raise errors.UserError(
            f"`image_size` is {options.image_size}; it must be 0 or above."
        )
    if options.image_size and options.encoding == "encoded":
        raise errors.UserError(
            f"`image_size` is {options.image_size}, but encoded images are kept as "
            "they are; leave it out, or use --encoding=raw."
        )


def _rules(source: records.Source, options: Options) -> shard_writer.Rules:
    shape = (0, 0, source.channels)
    if options.encoding == "raw":
        size = options.image_size
        shape = (size, size, source.channels) if size else _first_shape(source)
    return shard_writer.Rules(
        encoding=options.encoding,
        image_shape=shape,
        image_size=options.image_size,
        num_classes=len(source.classes),
        noise=noise_lib.build(
            options.label_noise, options.noise_seed, len(source.classes)
        ),
        skip_bad=options.skip_bad,
        place=source.place,
    )


def _first_shape(source: records.Source) -> tuple[int, int, int]:
    """Return the shape of the first image; the writer tells of what is no image."""
    train = source.splits["train"]
    for index in range(train.num_examples):
        (item,) = train.read(index, index + 1)
        image = item.image
        if isinstance(image, bytes):
            image = next(decoding.decode([image], source.channels))
        if image is not None:
            return tuple(image.shape)
    return (1, 1, source.channels)


def _tasks(
    source: records.Source,
    rules: shard_writer.Rules,
    parts: list[shard_plan.Part],
    folder: str,
) -> Iterator[shard_writer.Task]:
    for part in parts:
        yield shard_writer.Task(
            folder=folder,
            file=part.file,
            split=part.split,
            first=part.start,
            num_examples=part.stop - part.start,
            items=source.splits[part.split].read(part.start, part.stop),
            rules=rules,
        )


def _manifest(
    source: records.Source,
    rules: shard_writer.Rules,
    done: dict[shard_plan.Part, shard_writer.Done],
    folder: str,
) -> manifest_lib.Manifest:
    pixels = pixel_sums.PixelSums()
    splits: dict[str, list[manifest_lib.Shard]] = {
        name: [] for name in records.present(source.splits)
    }
    checksum = hashlib.sha256()
    for part, each in done.items():
        pixels.merge(each.pixels)
        checksum.update(shard_writer.read_digests(folder, part.file))
        shard = manifest_lib.Shard(
            part.file, each.num_examples, each.num_bytes, each.crc32, each.index_crc32
        )
        splits[part.split].append(shard)
    for split, written in splits.items():
        if not sum(shard.num_examples for shard in written):
            raise errors.UserError(
                f"No image of {split} in {source.place} can be decoded: nothing is "
                "left to write."
            )
    mean, std = pixels.mean_and_std()
    noise = rules.noise
    return manifest_lib.Manifest(
        name=source.name,
        classes=source.classes,
        image_encoding=rules.encoding,
        image_shape=rules.image_shape,
        mean=mean,
        std=std,
        source={"kind": source.kind, "sha256": source.sha256 or checksum.hexdigest()},
        label_noise=None if noise is None else dataclasses.asdict(noise),
        splits={split: tuple(written) for split, written in splits.items()},
        decisions=source.decisions,
    )
