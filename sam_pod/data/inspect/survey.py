"""What is in a data set: examples by class, sizes of images, noisy labels."""

import collections
import io
from collections.abc import Mapping

import PIL.Image
import tensorflow as tf

from sam_pod.data.inspect import pixel_check
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.data.stored import wrong_labels

MAX_CLASSES = 16  # Classes with samples, evenly spread.
SAMPLES = 10  # Samples of each of them.
_FIRST_LINES = 20  # Classes that are listed; the others get a range.

Size = tuple[int, int]  # Height, width.


class Survey:
    """Counts the examples that it is shown."""

    def __init__(self, manifest: manifest_lib.Manifest) -> None:
        self.counts = {split: collections.Counter() for split in manifest.splits}
        self.sizes: collections.Counter[Size] = collections.Counter()
        self.unknown_sizes = 0
        self.flipped = 0  # Labels that are not the true ones.
        count = len(manifest.classes)
        step = max(1, count // MAX_CLASSES)
        chosen = range(0, count, step)[:MAX_CLASSES]
        # The first training images of some classes, as they are stored.
        self.samples: dict[int, list[bytes]] = {label: [] for label in chosen}
        self.pixels = pixel_check.PixelCheck(manifest)
        self._manifest = manifest

    def look(self, split: str, content: bytes, starts: list[int]) -> None:
        """Take in whole records of a shard, which start at these bytes of it."""
        ends = [*starts[1:], starts[0] + len(content)] if starts else []
        for start, end in zip(starts, ends, strict=True):
            # Between a length with its checksum, and the checksum of the data.
            data = content[start - starts[0] + 12 : end - starts[0] - 4]
            self._count(split, tf.train.Example.FromString(data).features.feature)

    def _count(self, split: str, feature: Mapping[str, tf.train.Feature]) -> None:
        label = feature["label"].int64_list.value[0]
        image = feature["image"].bytes_list.value[0]
        self.counts[split][label] += 1
        if "true_label" in feature:
            self.flipped += feature["true_label"].int64_list.value[0] != label
        if self._manifest.image_encoding == "encoded":
            size = _size(image)
            self.sizes.update([size] if size else [])
            self.unknown_sizes += size is None
        else:
            self.sizes[tuple(self._manifest.image_shape[:2])] += 1
        if split == "train":
            self.pixels.add(image)
        kept = self.samples.get(label)
        if split == "train" and kept is not None and len(kept) < SAMPLES:
            kept.append(image)


def _size(image: bytes) -> Size | None:
    """Return the size in the header of an encoded image."""
    try:
        width, height = PIL.Image.open(io.BytesIO(image)).size
    except Exception:  # Whatever a broken image makes of it.
        return None
    return height, width


def lines(manifest: manifest_lib.Manifest, found: Survey) -> list[str]:
    """Return the lines to print about a survey."""
    shards = [shard for part in manifest.splits.values() for shard in part]
    indexes = sum(shard.index_crc32 is not None for shard in shards)
    text = [
        f"{manifest.name}: every CRC is right, of {len(shards)} shards and {indexes} "
        f"indexes, {sum(shard.num_bytes for shard in shards) / 1e6:,.1f} MB",
        f"Source: {manifest.source['kind']}, SHA-256 {manifest.source['sha256']}",
        f"Images: {manifest.image_encoding}, {_sizes(found)}, "
        f"{manifest.image_shape[2]} channels",
        f"Mean: {_numbers(manifest.mean)}; deviation: {_numbers(manifest.std)}",
        found.pixels.line(),
        _noise(manifest, found),
        *(f"Decided: {decision}" for decision in manifest.decisions),
    ]
    return text + _counts(manifest, found)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _sizes(found: Survey) -> str:
    if not found.sizes:
        return "sizes unknown"
    if len(found.sizes) == 1:
        (height, width), count = next(iter(found.sizes.items()))
        text = f"all {count:,} of {height}x{width}"
    else:
        text = f"{len(found.sizes):,} sizes, " + ", ".join(
            f"{name} {_range(found.sizes, axis)}"
            for axis, name in enumerate(("height", "width"))
        )
    if found.unknown_sizes:
        text += f", {found.unknown_sizes:,} of unknown size"
    return text


def _range(sizes: collections.Counter[Size], axis: int) -> str:
    """Return the least, the median and the greatest of an axis."""
    by_value: collections.Counter[int] = collections.Counter()
    for size, count in sizes.items():
        by_value[size[axis]] += count
    values, below = sorted(by_value), 0
    for median in values:
        below += by_value[median]
        if 2 * below >= by_value.total():
            break
    return f"{values[0]} to {values[-1]} (median {median})"


def _noise(manifest: manifest_lib.Manifest, found: Survey) -> str:
    noise = manifest.label_noise
    if noise is None:
        return "Label noise: none"
    total = found.counts["train"].total()
    return (
        f"Label noise: {found.flipped:,} of {total:,} training labels are flipped, "
        f"{found.flipped / total:.4f}; asked for {noise['rate']:g} "
        f"({wrong_labels.kind(noise)}) with seed {noise['seed']}"
    )


def _counts(manifest: manifest_lib.Manifest, found: Survey) -> list[str]:
    text = [f"{'class':>24} " + " ".join(f"{split:>10}" for split in manifest.splits)]
    for label, name in enumerate(manifest.classes[:_FIRST_LINES]):
        numbers = (found.counts[split][label] for split in manifest.splits)
        text.append(f"{name[:24]:>24} " + " ".join(f"{n:>10,}" for n in numbers))
    if len(manifest.classes) > _FIRST_LINES:
        rest = f"... {len(manifest.classes)} classes"
        text.append(f"{rest:>24} " + " ".join(map(_spread, _by_class(manifest, found))))
    totals = (found.counts[split].total() for split in manifest.splits)
    return [*text, f"{'all':>24} " + " ".join(f"{n:>10,}" for n in totals)]


def _by_class(manifest: manifest_lib.Manifest, found: Survey) -> list[list[int]]:
    labels = range(len(manifest.classes))
    return [[found.counts[s][label] for label in labels] for s in manifest.splits]


def _spread(counts: list[int]) -> str:
    return f"{f'{min(counts):,}-{max(counts):,}':>10}"
