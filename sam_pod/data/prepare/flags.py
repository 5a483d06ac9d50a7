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
  parquet        a folder of train-*.parquet and test-*.parquet, as on Hugging Face
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


def parse(
    argv: list[str], datasets: Iterable[str], introduction: str
) -> flags.FlagValues:
    """Return the values of the flags.

    Args:
        argv: The command line, with the name of the command first.
        datasets: The possible values of --dataset.
        introduction: The text of the help that comes before the list of sources.

    Raises:
        UserError: a flag that is not known, or has no such value, or is missing.
        SystemExit: after showing the help that was asked for.
    """
    values = _values(datasets)
    command.parse(values, argv, introduction + __doc__.partition("\n")[2])
    command.require(values, "dataset", "output")
    for name, other, is_read in (
        ("noise_seed", "label_noise", values.label_noise > 0),
        ("label_noise_kind", "label_noise", values.label_noise > 0),
        ("image_shape", "dataset", values.dataset == "tfrecord"),
    ):
        if values[name].present and not is_read:
            raise errors.UserError(
                f"--{name} is {values[name].value!r}, and nothing reads it: --{other} "
                f"is {values[other].value!r}; leave it out."
            )
    return values


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


# By the name: the default and the help.
_PATHS = {
    "source": ("", "Where it is; see above."),
    "output": (None, "Folder to write."),
    "labels": (
        "",
        "What says the classes of images: a table of names and classes, a text of "
        "classes in the order of the names, or ImageNet's devkit; 'folders' for the "
        "names of the folders.",
    ),
}
_TEXTS = {
    "name": ("", "Name of the data set, for data.name."),
    "encoding": ("", "raw or encoded; see above."),
    "image_column": ("image", "Column of images, in a table; a feature."),
    "label_column": ("label", "Column of labels, in a table; a feature."),
    "image_shape": ("", "tfrecord: of pixels, as 28x28x1."),
    "train_split": ("", "What is trained on is called."),
    "test_split": ("", "What is tested on is called."),
    "validation_split": (
        "",
        "What is validated on is called; 'none' leaves it out.",
    ),
    "label_noise_kind": (
        "excluding",
        "What a label becomes that is drawn again: 'excluding', another class; "
        "'including', any class, the true one too; 'asymmetric', the class that "
        "CIFAR-10's is taken for.",
    ),
    "background": ("white", "Colour that transparent pictures are laid over."),
    "sixteen_bit": (
        "auto",
        "How many of their bits 16-bit pictures use: full, a number such as 12, or "
        "auto: as the largest value of some shows.",
    ),
}
# By the name, all of them 0 at first: the least, and the help.
_NUMBERS = {
    "image_size": (
        0,
        "Make raw images squares of this size: the shorter side is scaled to it and "
        "the middle cut out.",
    ),
    "channels": (None, "1 makes raw images grey, 3 colours; as the source has them."),
    "num_shards": (0, "Files per split; by the size."),
    "num_processes": (0, "All cores."),
    "noise_seed": (None, "Which labels are flipped."),
}
_SHARES = {
    "test_share": (
        "Share of each class of the training examples that is held out as the test "
        "split, where there is no other."
    ),
    "label_noise": "Share of the training labels that are drawn again.",
}


def _values(datasets: Iterable[str]) -> flags.FlagValues:
    # Values of its own: importing this module gives another command no flags.
    values = flags.FlagValues()
    names = f"One of {', '.join(datasets)}."
    for name, (default, text) in ({"dataset": (None, names)} | _TEXTS).items():
        flags.DEFINE_string(name, default, text, flag_values=values)
    for name, (default, text) in _PATHS.items():
        path_flags.define(name, default, text, flag_values=values)
    for name, (least, text) in _NUMBERS.items():
        flags.DEFINE_integer(name, 0, text, least, flag_values=values)
    for name, text in _SHARES.items():
        flags.DEFINE_float(name, 0.0, text, flag_values=values)
    text = "Leave out images that cannot be decoded, and list them."
    flags.DEFINE_bool("skip_bad", False, text, flag_values=values)
    return values
