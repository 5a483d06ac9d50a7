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
from collections.abc import Callable, Iterator, Mapping, Sequence

from sam_pod import errors
from sam_pod.data.pictures import pixel_sums
from sam_pod.data.pictures import rules as rules_lib
from sam_pod.data.prepare import noise as noise_lib
from sam_pod.data.prepare import (
    pool,
    samples,
    shard_plan,
    shard_rules,
    shard_writer,
    tallies,
)
from sam_pod.data.stored import grey, names, records, schema
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.process import heavy_imports, signals
from sam_pod.storage import files, new_folder

_KEPT_ON = (KeyboardInterrupt, signals.Interrupted, pool.Died)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """How the examples are stored."""

    encoding: str = "raw"  # Or 'encoded': the bytes of JPEG, PNG and the like.
    image_size: int = 0  # Raw images become squares of that size; 0: unchanged.
    channels: int = 0  # Raw images become grey (1) or colours (3); 0: unchanged.
    skip_bad: bool = False  # Leave out images that cannot be decoded.
    background: str = "white"  # The colour under transparent pictures.
    sixteen_bit: str = "auto"  # How many of 16 bits are used; 'full'; 'auto'.
    label_noise: float = 0.0  # See noise.py.
    label_noise_kind: str = noise_lib.EXCLUDING
    noise_seed: int = 0


@dataclasses.dataclass(frozen=True)
class Written:
    """What has been written, and what has been left out."""

    manifest: manifest_lib.Manifest
    faults: tuple[tallies.Fault, ...]  # The images that cannot be decoded.

    @property
    def skipped(self) -> tuple[str, ...]:
        """Keys of the images that are left out."""
        return tuple(key for key, _ in self.faults)


def write(
    source: records.Source, output: str, num_shards: int = 0
) -> manifest_lib.Manifest:
    """Write all splits of a source to the folder `output`, in this process."""
    return write_with(source, output, num_shards).manifest


def write_with(
    source: records.Source,
    output: str,
    num_shards: int = 0,
    options: ShardOptions | None = None,
    *,
    num_processes: int = 1,
    progress: pool.Progress = lambda count: None,
    say: Callable[[str], object] = lambda line: None,
) -> Written:
    """Write all splits of a source to the folder `output`.

    Args:
        source: The source of the examples.
        output: A folder that is empty or does not exist.
        num_shards: The files per split, at most one for each example; 0 leaves them to
            the size.
        options: The way in which examples are stored.
        num_processes: The processes, at most one for each shard; with 1 this process
            does all of it.
        progress: A function called with the number of examples written since its last
            call; what it raises ends the work.
        say: A function called with the first picture that cannot be used, where much
            is left to do; the result or the error has all of them.

    Raises:
        UserError: `output` cannot be written, or an example does not fit the source.
    """
    options = options or ShardOptions()
    new_folder.check(output)
    check(num_shards, options)
    source, rules = _decided(source, options)
    parts = list(shard_plan.parts(source, rules, num_shards))
    plan = shard_plan.text(source, rules, parts)
    shard_plan.check_space(source, rules, output, plan)
    total = sum(part.num_examples for part in source.splits.values())
    first = tallies.FirstFault(source.place, total, options.skip_bad, say)
    with new_folder.write(output, _KEPT_ON) as folder:
        try:
            shard_plan.begin(folder, plan)
            done = pool.run(
                shard_writer.write,
                _tasks(source, rules, parts, folder),
                min(num_processes, len(parts)),
                shard_writer.use_one_thread,
                progress,
                lambda done: first.look(done.tally),
                first=heavy_imports.tensorflow_alone,
            )
            written = dict(zip(parts, done, strict=True))
            said = _decisions(source, rules, written, skip_bad=options.skip_bad)
            manifest = _manifest(source, rules, written, folder, said)
        except Exception:
            progress(0)  # Raises if a signal came: an extension then has other errors.
            raise
        files.write(os.path.join(folder, manifest_lib.FILE_NAME), manifest.to_json())
    shutil.rmtree(os.path.join(output, shard_writer.STATE), ignore_errors=True)
    faults = tallies.merged(each.tally for each in done).faults
    return Written(manifest, tuple(faults))


def check(num_shards: int, options: ShardOptions) -> None:
    """Refuse options that are impossible.

    Raises:
        UserError: naming one.
    """
    if num_shards < 0:
        raise errors.UserError(f"`num_shards` is {num_shards}; it must be 0 or above.")
    errors.lookup(dict.fromkeys(schema.ENCODINGS), options.encoding, "encoding")
    rules_lib.check_background(options.background)
    rules_lib.bits_of(options.sixteen_bit)
    if options.image_size < 0:
        raise errors.UserError(
            f"`image_size` is {options.image_size}; it must be 0 or above."
        )
    if options.channels not in grey.CHANNELS:
        raise errors.UserError(
            f"`channels` is {options.channels}; it must be 1 (grey), 3 or 0 (as they "
            "are)."
        )
    if options.channels and options.encoding == "encoded":
        raise errors.UserError(
            f"`channels` is {options.channels}, but encoded images are kept as they "
            "are; use --encoding=raw, or set `data.channels` when training."
        )
    if options.image_size and options.encoding == "encoded":
        raise errors.UserError(
            f"`image_size` is {options.image_size}, but encoded images are kept as "
            "they are; leave it out, or use --encoding=raw."
        )


def _decided(
    source: records.Source, options: ShardOptions
) -> tuple[records.Source, shard_rules.ShardRules]:
    """Return a source with the decisions for all of it, and how it is written."""
    source = _with_readable_classes(source)
    bits, line = samples.bits(source, options.sixteen_bit)
    if line:
        source = dataclasses.replace(source, decisions=(*source.decisions, line))
    return source, _rules(source, options, bits)


def _with_readable_classes(source: records.Source) -> records.Source:
    classes, line = names.of_classes(source.classes, source.place)
    decisions = (*source.decisions, line) if line else source.decisions
    return dataclasses.replace(source, classes=classes, decisions=decisions)


def _rules(
    source: records.Source, options: ShardOptions, bits: int
) -> shard_rules.ShardRules:
    pictures = rules_lib.PictureRules(options.background, bits)
    shape = (0, 0, source.channels)
    if options.encoding == "raw":
        size = options.image_size
        if not size:
            shape = samples.first_shape(source, pictures)
        else:
            shape = (size, size, source.channels)
    shape = (*shape[:2], options.channels or shape[2])
    return shard_rules.ShardRules(
        encoding=options.encoding,
        decoded_channels=source.channels,
        image_shape=shape,
        image_size=options.image_size,
        num_classes=len(source.classes),
        noise=noise_lib.build(
            options.label_noise,
            options.noise_seed,
            source.classes,
            options.label_noise_kind,
        ),
        place=source.place,
        makes_grey=options.channels == 1,
        pictures=pictures,
    )


def _tasks(
    source: records.Source,
    rules: shard_rules.ShardRules,
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


def _decisions(
    source: records.Source,
    rules: shard_rules.ShardRules,
    done: Mapping[shard_plan.Part, shard_writer.Done],
    *,
    skip_bad: bool,
) -> list[str]:
    """Return what was decided about the pictures.

    Raises:
        UserError: some cannot be used, or nothing is left of a split or a class.
    """
    totals = {
        split: tallies.merged(
            each.tally for part, each in done.items() if part.split == split
        )
        for split in records.present(source.splits)
    }
    total = tallies.merged(totals.values())
    if not skip_bad:
        count = sum(part.num_examples for part in source.splits.values())
        tallies.check_faults(total.faults, count, source.place)
    for split, each in totals.items():
        if not each.written:
            raise errors.UserError(
                f"No image of {split} in {source.place} can be decoded: nothing is "
                "left to write."
            )
    said = tallies.check_classes(totals, source.classes, source.place)
    pictures = rules.pictures
    return [*tallies.decisions(total, pictures.background, pictures.bits), *said]


def _manifest(
    source: records.Source,
    rules: shard_rules.ShardRules,
    done: dict[shard_plan.Part, shard_writer.Done],
    folder: str,
    said: Sequence[str],
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
    mean, std = pixels.mean_and_std()
    noise, wrong = rules.noise, sum(each.wrong for each in done.values())
    return manifest_lib.Manifest(
        name=source.name,
        classes=source.classes,
        image_encoding=rules.encoding,
        image_shape=rules.image_shape,
        mean=mean,
        std=std,
        source={"kind": source.kind, "sha256": source.sha256 or checksum.hexdigest()},
        label_noise=None if noise is None else {**noise.to_json(), "wrong": wrong},
        splits={split: tuple(written) for split, written in splits.items()},
        decisions=(*source.decisions, *said),
    )
