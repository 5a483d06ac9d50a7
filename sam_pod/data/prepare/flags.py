"""What `prepare` can be asked for.

--source is, for
  cifar10        download, an archive of it (binary, python, matlab), the folder in it,
                 or images as below of its classes
  cifar100       an archive of it, or the folder in it
  svhn           a folder with train_32x32.mat and test_32x32.mat
  mnist, fashion_mnist, kmnist, emnist
                 a folder with train-images-idx3-ubyte.gz and the like, or an .npz
  medmnist       an .npz file of it
  imagenet       a folder with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, or
                 with train/<wnid>/* and val/<wnid>/*, also as Kaggle packs it
  tiny_imagenet  the folder with train, val and test
  images, csv    a folder, a tar (packed or not) or a zip of train/<class>/* and
                 test/<class>/*, of <class>/*, or of images beside a table of labels
  parquet        a folder of train-*.parquet and test-*.parquet, as of Hugging Face
  tfds           the folder of a version, such as ~/tensorflow_datasets/mnist/3.0.1
  tfrecord       a folder of TFRecord files that others wrote, compressed or not
  numpy          an .npz file, or a folder, with x_train, y_train, x_test, y_test
`download` fetches the archive to the folder above --output and leaves it there.

A split is known by any usual name (train, training; val, valid, validation, dev; test,
testing, eval), or by the flags. Where none but that of training has labels,
--test_share=0.1 holds a part of each class out. A test split without labels is left
out, and a validation split with labels serves.

Images are stored raw, which is fastest to read, where all have one size (or are made
squares with --image_size), or as they come with --encoding=encoded: then any size will
do. imagenet is encoded unless something else is asked.
"""

import json
import os
from collections.abc import Iterable

from absl import flags

from sam_pod import errors
from sam_pod.data.sources import split_names
from sam_pod.process import command, path_flags


def parse(argv: list[str], datasets: Iterable[str]) -> flags.FlagValues | None:
    """Return the values of the flags; None where help is asked for.

    Args:
        argv: With the name of the command first.
        datasets: The names that --dataset may have.

    Raises:
        UserError: a flag that is not known, or has no such value, or is missing.
    """
    if command.wants_help(argv):
        return None
    values = _values(datasets)
    try:
        unknown = values(argv)[1:]
    except flags.Error as error:
        raise errors.UserError(str(error)) from error
    if unknown:
        raise errors.UserError(f"{unknown[0]!r} is no flag; --help lists them.")
    for name in ("dataset", "output"):
        if not values[name].value:
            raise errors.UserError(f"--{name} is missing; --help shows examples.")
    return values


def help_text(datasets: Iterable[str]) -> str:
    """Return what sources and which flags there are."""
    text = __doc__.partition("\n")[2]
    return f"{text}{_values(datasets).get_help()}"


def image_shape(values: flags.FlagValues) -> tuple[int, ...]:
    """Return the shape that pixels have, () where nothing is asked for.

    Raises:
        UserError: it is none.
    """
    text = values.image_shape
    if not text:
        return ()
    sizes = text.split("x")
    if len(sizes) not in (2, 3) or not all(size.isdecimal() for size in sizes):
        raise errors.UserError(
            f"--image_shape is {text!r}; it must be height, width and channels, such "
            "as 28x28x1."
        )
    return tuple(map(int, sizes))


def wish(values: flags.FlagValues) -> split_names.Wish:
    """Return which splits are asked for."""
    return split_names.Wish(
        train=values.train_split,
        validation=values.validation_split,
        test=values.test_split,
        test_share=values.test_share,
    )


def wanted(values: flags.FlagValues) -> str:
    """Return what the flags ask for, as a text that is equal where the bytes are."""
    given = values.flag_values_dict()
    if given["source"] not in ("", "download", "embedded"):
        given["source"] = os.path.abspath(given["source"])
    for name in ("output", "num_processes"):
        del given[name]
    return json.dumps(given, sort_keys=True, default=str)


def _values(datasets: Iterable[str]) -> flags.FlagValues:
    # Values of its own: importing this module gives another command no flags.
    values = flags.FlagValues()
    path = path_flags.define
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("dataset", None, f"One of {', '.join(datasets)}.", flag_values=values)
    path("source", "", "Where it is; see above.", flag_values=values)
    path("output", None, "Folder to write.", flag_values=values)
    text("name", "", "Of the data set, for data.name.", flag_values=values)
    text("encoding", "", "raw or encoded; see above.", flag_values=values)
    path(
        "labels",
        "",
        "What says the classes of images: a table of names and classes, a text of "
        "classes in the order of the names, or ImageNet's devkit; 'folders' for the "
        "names of the folders.",
        flag_values=values,
    )
    text(
        "image_column",
        "image",
        "Of images, in a table; a feature.",
        flag_values=values,
    )
    text(
        "label_column",
        "label",
        "Of labels, in a table; a feature.",
        flag_values=values,
    )
    text("image_shape", "", "tfrecord: of pixels, as 28x28x1.", flag_values=values)
    text("train_split", "", "What is trained on is called.", flag_values=values)
    text("test_split", "", "What is tested on is called.", flag_values=values)
    text(
        "validation_split",
        "",
        "What is validated on is called; 'none' leaves it out.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "test_share",
        0.0,
        "Share of each class of the training examples that is held out as the test "
        "split, where there is no other.",
        flag_values=values,
    )
    number(
        "image_size",
        0,
        "Make raw images squares of this size: the shorter side is scaled to it and "
        "the middle cut out.",
        lower_bound=0,
        flag_values=values,
    )
    number(
        "channels",
        0,
        "1 makes raw images grey, 3 colours; as the source has them.",
        flag_values=values,
    )
    number(
        "num_shards",
        0,
        "Files per split; by the size.",
        lower_bound=0,
        flag_values=values,
    )
    number("num_processes", 0, "All cores.", lower_bound=0, flag_values=values)
    flags.DEFINE_float(
        "label_noise",
        0.0,
        "Share of the training labels that are flipped to another class.",
        flag_values=values,
    )
    number("noise_seed", 0, "Which labels are flipped.", flag_values=values)
    text(
        "background",
        "white",
        "Colour that transparent pictures are laid over.",
        flag_values=values,
    )
    text(
        "sixteen_bit",
        "auto",
        "How many of their bits 16-bit pictures use: full, a number such as 12, or "
        "auto: as the largest value of some shows.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "skip_bad",
        False,
        "Leave out images that cannot be decoded, and list them.",
        flag_values=values,
    )
    return values
