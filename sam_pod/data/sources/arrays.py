"""Sources whose images are an array in memory."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from sam_pod.data.stored import records


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Examples that can be sent to another process."""

    split: str
    start: int
    images: Sequence[np.ndarray]
    labels: Sequence[int]

    def __iter__(self) -> Iterator[records.Item]:
        pairs = zip(self.images, self.labels, strict=True)
        for index, (image, label) in enumerate(pairs, self.start):
            yield records.Item(image, int(label), f"{self.split}/{index}")


def split(
    name: str, images: Sequence[np.ndarray], labels: Sequence[int]
) -> records.SourceSplit:
    """Return a split of uint8 images `[N, H, W, C]` and labels `[N]`."""
    num_bytes = sum(image.nbytes for image in images[:1]) * len(images)
    return records.SourceSplit(
        len(images), num_bytes, functools.partial(_read, name, images, labels)
    )


def _read(
    name: str,
    images: Sequence[np.ndarray],
    labels: Sequence[int],
    start: int,
    stop: int,
) -> _Rows:
    return _Rows(name, start, images[start:stop], labels[start:stop])
