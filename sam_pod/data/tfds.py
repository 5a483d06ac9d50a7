"""A data set that TensorFlow Datasets has prepared on this disk."""

import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tensorflow as tf

from sam_pod import errors
from sam_pod.data import archives, extras, images, records

if TYPE_CHECKING:
    import tensorflow_datasets

LOCK = "tfds.lock"


def read(folder: str) -> records.Source:
    """Return the source in a folder such as ~/tensorflow_datasets/mnist/3.0.1.

    Raises:
        UserError: no tensorflow-datasets, no such folder, or no images with labels.
    """
    library = extras.load("tensorflow_datasets", LOCK)
    path = os.path.join(folder, "dataset_info.json")
    if not os.path.exists(path):
        raise errors.UserError(
            f"{folder} has no dataset_info.json; it must be the folder of a version, "
            "such as ~/tensorflow_datasets/mnist/3.0.1."
        )
    info = library.builder_from_directory(folder).info
    for name in ("image", "label"):
        if name not in info.features:
            raise errors.UserError(
                f"{folder} has no feature {name!r}; it has {', '.join(info.features)}."
            )
    return records.Source(
        name=info.name,
        classes=tuple(info.features["label"].names),
        kind="tfds",
        place=folder,
        fingerprint=archives.fingerprint(
            os.path.join(folder, name) for name in sorted(os.listdir(folder))
        ),
        channels=info.features["image"].shape[-1] or 3,
        splits={split: _split(folder, info, split) for split in records.SPLITS},
    )


def _split(
    folder: str, info: "tensorflow_datasets.core.DatasetInfo", split: str
) -> records.Split:
    for name in images.FOLDERS[split]:
        if name in info.splits:
            found = info.splits[name]
            return records.Split(
                found.num_examples,
                found.num_bytes,
                functools.partial(_Rows, folder, name),
            )
    raise errors.UserError(
        f"{folder} has no split {split!r}; it has {', '.join(info.splits)}."
    )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Examples [start, stop) of a split, their images as they are stored."""

    folder: str
    split: str
    start: int
    stop: int

    def __iter__(self) -> Iterator[records.Item]:
        library = extras.load("tensorflow_datasets", LOCK)
        dataset = library.builder_from_directory(self.folder).as_dataset(
            split=f"{self.split}[{self.start}:{self.stop}]",
            decoders={"image": library.decode.SkipDecoding()},
            shuffle_files=False,
        )
        try:
            for index, example in enumerate(dataset.as_numpy_iterator(), self.start):
                yield records.Item(
                    example["image"], int(example["label"]), f"{self.split}/{index}"
                )
        except tf.errors.OpError as error:
            raise archives.unreadable(self.folder, error) from error
