"""A data set that TensorFlow Datasets has prepared on this disk."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    extras,
    held_out,
    label_values,
    labelled,
    labels,
    split_names,
)
from sam_pod.data.stored import raw_pixels, records

if TYPE_CHECKING:
    import tensorflow_datasets

LOCK = "tfds.lock"

_PEEK = 64  # Examples in which a split without labels shows.
_LABELS = 1 << 12  # Labels in memory at a time.


@dataclasses.dataclass(frozen=True)
class _Names:
    """Which features are read."""

    image: str
    label: str
    decisions: tuple[str, ...] = ()


def read(
    folder: str,
    image: str = "image",
    label: str = "label",
    wish: split_names.Wish | None = None,
) -> records.Source:
    """Return the source in a folder such as ~/tensorflow_datasets/mnist/3.0.1.

    Args:
        folder: The folder of a version.
        image: The name of the image's feature; where there is no such feature, the only
            one that fits is taken.
        label: The name of the label's feature, likewise.
        wish: The user's choice of splits.

    Raises:
        UserError: no tensorflow-datasets, no such folder, or no images with labels.
    """
    library = extras.load("tensorflow_datasets", LOCK)
    info = _info(library, folder)
    names = _names(library, folder, info, _Names(image, label))
    channels = _channels(library, folder, info.features[names.image], names.image)
    feature = info.features[names.label]
    found = functools.cache(functools.partial(_found, folder, names))
    is_said = isinstance(feature, library.features.ClassLabel)
    chosen = labelled.choose(
        labelled.Groups(
            folder,
            info.splits,
            f"Feature {names.label!r}",
            found,
            lambda split: _has_labels(folder, names, split, found),
        ),
        wish,
        classes=labels.Classes(tuple(feature.names)) if is_said else None,
    )
    classes = chosen.classes
    splits, held = held_out.with_test(
        {
            split: _split(folder, info, names, classes, name)
            for split, name in chosen.names.items()
        },
        chosen.test_share,
        held_out.labels_of,
    )
    return records.Source(
        name=info.name,
        classes=classes.names,
        kind="tfds",
        place=folder,
        fingerprint=archives.fingerprint(
            os.path.join(folder, name) for name in sorted(os.listdir(folder))
        ),
        channels=channels,
        splits=splits,
        decisions=(*names.decisions, *chosen.decisions, *classes.decisions, *held),
    )


def _info(library: Any, folder: str) -> "tensorflow_datasets.core.DatasetInfo":
    path = os.path.join(folder, "dataset_info.json")
    if not os.path.exists(path):
        raise errors.UserError(
            f"{folder} has no dataset_info.json; it must be the folder of a version, "
            "such as ~/tensorflow_datasets/mnist/3.0.1."
        )
    return library.builder_from_directory(folder).info


def _names(
    library: Any,
    folder: str,
    info: "tensorflow_datasets.core.DatasetInfo",
    asked: _Names,
) -> _Names:
    """Return which features are the image and the label."""
    kinds = library.features
    told = info.supervised_keys or (None, None)
    found, decisions = [], []
    for name, default, kind, key, what in (
        (asked.image, "image", kinds.Image, told[0], "images"),
        (asked.label, "label", kinds.ClassLabel, told[-1], "labels"),
    ):
        there = [n for n, f in info.features.items() if isinstance(f, kind)]
        if isinstance(key, str) and key in info.features:
            there = [key]
        if name not in info.features and name == default and len(there) == 1:
            name = there[0]
            decisions.append(f"Feature {name!r} is taken for the {what}.")
        if name not in info.features:
            raise errors.UserError(
                f"{folder} has no feature {name!r}; it has {', '.join(info.features)}. "
                "Pass --image_column and --label_column."
            )
        found.append(name)
    return _Names(*found, tuple(decisions))


def _channels(library: Any, folder: str, feature: Any, name: str) -> int:
    """Return the channels of the images.

    Raises:
        UserError: the feature is no image.
    """
    shape = feature.shape
    is_image = isinstance(feature, library.features.Image)
    is_tensor = len(shape or ()) in (2, 3) and np.dtype(feature.np_dtype).kind in "iuf"
    if not (is_image or is_tensor) or (is_image and feature.np_dtype == np.float32):
        raise errors.UserError(
            f"Feature {name!r} of {folder} is {type(feature).__name__} of "
            f"{np.dtype(feature.np_dtype).name} {shape}; it must be an image of whole "
            "numbers. Pass --image_column for another."
        )
    if is_image:
        return 1 if shape[-1] == 1 else 3
    if len(shape) == 2:
        return 1
    return next((n for n in (shape[2], shape[0]) if n in (1, 3)), 3)


def _split(
    folder: str,
    info: "tensorflow_datasets.core.DatasetInfo",
    names: _Names,
    classes: labels.Classes,
    name: str,
) -> records.SourceSplit:
    found = info.splits[name]
    return records.SourceSplit(
        found.num_examples,
        found.num_bytes,
        functools.partial(_Rows, folder, names, classes, name),
    )


def _labels(folder: str, names: _Names, split: str) -> Iterator[Any]:
    for example in _examples(folder, names, split):
        yield example[names.label]


def _has_labels(
    folder: str,
    names: _Names,
    split: str,
    found: Callable[[str], label_values.Found],
) -> bool:
    few = label_values.Found()
    few.add(list(itertools.islice(_labels(folder, names, split), _PEEK)))
    return not few.is_missing or not found(split).is_missing


def _found(folder: str, names: _Names, split: str) -> label_values.Found:
    """Return which labels a split has: all of it is read."""
    found, some = label_values.Found(), []
    for label in _labels(folder, names, split):
        some.append(label)
        if len(some) == _LABELS:
            found.add(some)
            some = []
    if some:
        found.add(some)
    return found


def _examples(folder: str, names: _Names, split: str) -> Iterator[dict[str, Any]]:
    """Yield the examples of a split, or of a part of it, images as they are stored.

    Raises:
        UserError: they cannot be read.
    """
    library = extras.load("tensorflow_datasets", LOCK)
    builder = library.builder_from_directory(folder)
    features = builder.info.features
    decoders = None
    if isinstance(features[names.image], library.features.Image):
        decoders = {names.image: library.decode.SkipDecoding()}
    kind = builder.info.file_format
    try:
        if kind is not None and kind.value == "array_record":
            raw = builder.as_data_source(
                split=split,
                deserialize_method=library.decode.DeserializeMethod.RAW_BYTES,
            )
            dataset = tf.data.Dataset.from_generator(
                lambda: (raw[index] for index in range(len(raw))),
                output_signature=tf.TensorSpec([], tf.string),
            ).map(lambda x: features.deserialize_example(x, decoders=decoders))
        else:
            # One file after the other: else a part of a split, and a label's number,
            # are not those of the examples that are read.
            dataset = builder.as_dataset(
                split=split,
                decoders=decoders,
                shuffle_files=False,
                read_config=library.ReadConfig(interleave_cycle_length=1),
            )
        yield from dataset.as_numpy_iterator()
    except (ImportError, NotImplementedError) as error:
        name = kind.value if kind else "an unknown format"
        reason = " ".join(str(error).split())[:120]
        raise errors.UserError(
            f"{folder} is stored as {name}, which cannot be read here ({reason}): "
            "write it again with file_format='array_record' or 'tfrecord'."
        ) from error
    except tf.errors.OpError as error:
        raise archives.unreadable(folder, error) from error


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Examples [start, stop) of a split, their images as they are stored."""

    folder: str
    names: _Names
    classes: labels.Classes
    split: str
    start: int
    stop: int

    def __iter__(self) -> Iterator[records.Item]:
        part = f"{self.split}[{self.start}:{self.stop}]"
        examples = _examples(self.folder, self.names, part)
        for index, example in enumerate(examples, self.start):
            key = f"{self.split}/{index}"
            image = example[self.names.image]
            if not isinstance(image, bytes):
                image = raw_pixels.as_image(image, key, self.names.image)
            label = example[self.names.label]
            if self.classes.index is None and np.ndim(label) == 0:
                number = int(label)  # What is out of range is refused where it is kept.
            else:
                (number,) = self.classes.of([label])
            yield records.Item(image, number, key)
