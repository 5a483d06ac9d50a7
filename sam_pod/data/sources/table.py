"""Which sources there are, by the name of --dataset.

Each is imported where it is used, for all of them need TensorFlow.
"""

import dataclasses
import os
import tarfile
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sam_pod import errors
from sam_pod.data.sources import split_names
from sam_pod.storage import new_folder, turns

if TYPE_CHECKING:
    from sam_pod.data.sources import cifar, images
    from sam_pod.data.stored import records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Which source is asked for."""

    source: str  # A path, 'download', or ''.
    output: str  # The folder that will be written.
    labels: str = ""  # The files that say the classes of images that lie flat.
    image_column: str = "image"  # In parquet, or in a table of labels.
    label_column: str = "label"
    image_shape: tuple[int, ...] = ()  # The shape of pixels in TFRecords.
    splits: split_names.Wish = dataclasses.field(default_factory=split_names.Wish)
    # What it raises ends a download.
    raise_if_stopped: Callable[[], object] = lambda: None
    say: Callable[[str], object] = lambda line: None  # What cannot wait for the end.

    @property
    def caller(self) -> turns.Caller:
        """This process, as one that may wait while another makes what it needs."""
        return turns.Caller(self.raise_if_stopped, self.say)

    @property
    def asked(self) -> "images.Asked":
        """The wishes for splits and labels."""
        from sam_pod.data.sources import images, table_columns

        columns = table_columns.AskedColumns(self.image_column, self.label_column)
        return images.Asked(splits=self.splits, labels=self.labels, columns=columns)

    @property
    def beside(self) -> str:
        """The local folder in which the output, or what it is copied from, lies."""
        return os.path.dirname(new_folder.partial(self.output))

    @property
    def scratch(self) -> str:
        """A folder that exists, on the disk of the output, for temporary files."""
        return new_folder.nearest(self.beside)


@dataclasses.dataclass(frozen=True)
class Reader:
    """How a source is read, and how its images are stored by default."""

    read: Callable[[Request], "records.Source"]
    encoding: str = "raw"
    path: str = "a path"  # What --source must be.


def _read_cifar10(request: Request) -> "records.Source":
    from sam_pod.data.sources import cifar10

    source = request.source
    if source == "download":
        source = os.path.join(request.beside, cifar10.FILE_NAME)
        cifar10.download(source, request.caller)
    if _is_archive(source, cifar10.FILE_NAME, "cifar-10-batches-bin"):
        return _chosen(cifar10.read_archive(source), request)
    found = _read_cifar_version(source, cifar10.LAYOUT, "cifar-10-batches-", request)
    if found is not None:
        return found
    found = _read_images(dataclasses.replace(request, source=source))
    if found.classes != cifar10.CLASSES:
        raise errors.UserError(
            f"{source} has the classes {', '.join(found.classes)[:120]}; those of "
            f"cifar10 are {', '.join(cifar10.CLASSES)}. Use --dataset=images."
        )
    return dataclasses.replace(found, name="cifar10")


def _is_archive(path: str, name: str, first_member: str) -> bool:
    """Return whether a file is the official archive, whole or not."""
    if not os.path.isfile(path):
        return False
    if os.path.basename(path) == name:
        return True
    try:
        with tarfile.open(path, "r|gz") as tar:
            first = tar.next()
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        return False
    return first is not None and first.name.startswith(first_member)


def _read_cifar100(request: Request) -> "records.Source":
    from sam_pod.data.sources import cifar100

    source = request.source
    found = None
    if not _is_archive(source, os.path.basename(cifar100.URL), cifar100.FOLDER):
        found = _read_cifar_version(source, cifar100.LAYOUT, "cifar-100-", request)
    return found or _chosen(cifar100.read_archive(source), request)


def _read_cifar_version(
    source: str, layout: "cifar.Layout", first_member: str, request: Request
) -> "records.Source | None":
    """Return the source in any version of CIFAR's, None where it is none."""
    from sam_pod.data.sources import cifar_versions

    name = layout.kind.removesuffix("binary")
    packed = os.path.isfile(source) and os.path.basename(source).startswith(name)
    if (
        packed
        or _is_archive(source, "", first_member)
        or cifar_versions.looks_like(source, layout)
    ):
        return cifar_versions.read(source, layout, request.splits)
    return None


def _chosen(source: "records.Source", request: Request) -> "records.Source":
    """Return a source with the splits that are asked for."""
    from sam_pod.data.sources import held_out

    splits, said = held_out.chosen(source.splits, request.splits, source.place)
    decisions = (*source.decisions, *said)
    return dataclasses.replace(source, splits=splits, decisions=decisions)


def _read_digits(request: Request) -> "records.Source":
    from sam_pod.data.sources import digits

    return _chosen(digits.read(), request)


def _read_emnist(request: Request) -> "records.Source":
    from sam_pod.data.sources import idx

    return idx.read("emnist", request.source, request.splits)


def _read_fashion_mnist(request: Request) -> "records.Source":
    from sam_pod.data.sources import idx

    return _renamed(request, "fashion_mnist") or idx.read(
        "fashion_mnist", request.source, request.splits
    )


def _renamed(request: Request, name: str) -> "records.Source | None":
    """Return the source in an .npz file under a name; None where it is no such file."""
    if not request.source.endswith(".npz"):
        return None
    return dataclasses.replace(_read_numpy(request), name=name)


def _read_imagenet(request: Request) -> "records.Source":
    from sam_pod.data.sources import imagenet

    return imagenet.read(request.source, request.asked)


def _read_images(request: Request) -> "records.Source":
    from sam_pod.data.sources import images

    return images.read(request.source, request.scratch, request.asked)


def _read_mnist(request: Request) -> "records.Source":
    from sam_pod.data.sources import idx

    return _renamed(request, "mnist") or idx.read(
        "mnist", request.source, request.splits
    )


def _read_kmnist(request: Request) -> "records.Source":
    from sam_pod.data.sources import idx

    return _renamed(request, "kmnist") or idx.read(
        "kmnist", request.source, request.splits
    )


def _read_medmnist(request: Request) -> "records.Source":
    return dataclasses.replace(_read_numpy(request), name="medmnist")


def _read_tiny_imagenet(request: Request) -> "records.Source":
    return dataclasses.replace(_read_images(request), name="tiny_imagenet")


def _read_csv(request: Request) -> "records.Source":
    return dataclasses.replace(_read_images(request), name="csv")


def _read_numpy(request: Request) -> "records.Source":
    from sam_pod.data.sources import numpy_arrays

    return numpy_arrays.read(request.source, request.scratch, request.splits)


def _read_parquet(request: Request) -> "records.Source":
    from sam_pod.data.sources import extras

    extras.load("pyarrow.parquet", "parquet.lock")  # Which the next line needs.
    from sam_pod.data.sources import parquet

    columns = request.image_column, request.label_column
    return parquet.read(request.source, *columns, request.splits)


def _read_svhn(request: Request) -> "records.Source":
    from sam_pod.data.sources import svhn

    return svhn.read(request.source, request.splits)


def _read_tfrecord(request: Request) -> "records.Source":
    from sam_pod.data.sources import tfrecords
    from sam_pod.data.stored import example_fields

    fields = example_fields.Fields(
        request.image_column, request.label_column, request.image_shape
    )
    return tfrecords.read(request.source, request.scratch, fields, request.splits)


def _read_tfds(request: Request) -> "records.Source":
    from sam_pod.data.sources import tfds

    names = request.image_column, request.label_column
    return tfds.read(request.source, *names, request.splits)


_IMAGES = "a folder, a tar or a zip of images"
READERS: Mapping[str, Reader] = {
    "cifar10": Reader(_read_cifar10, path=f"{_IMAGES} (or 'download' for cifar10)"),
    "cifar100": Reader(_read_cifar100, path="cifar-100-binary.tar.gz or its folder"),
    "csv": Reader(_read_csv, path=f"{_IMAGES}, whose classes a table says"),
    "digits": Reader(_read_digits, path=""),
    "emnist": Reader(_read_emnist, path="the folder of the IDX files"),
    "fashion_mnist": Reader(_read_fashion_mnist, path="the folder of the IDX files"),
    "imagenet": Reader(_read_imagenet, "encoded", "the folder of its tar files"),
    "images": Reader(_read_images, path=f"{_IMAGES} (or 'download' for cifar10)"),
    "kmnist": Reader(_read_kmnist, path="the folder of the IDX files"),
    "medmnist": Reader(_read_medmnist, path="an .npz file, such as pathmnist.npz"),
    "mnist": Reader(_read_mnist, path="the folder of the IDX files"),
    "numpy": Reader(_read_numpy, path="an .npz file or a folder of .npy files"),
    "parquet": Reader(_read_parquet, path="a folder of Parquet files"),
    "svhn": Reader(_read_svhn, path="the folder of the .mat files"),
    "tfds": Reader(_read_tfds, path="the folder of a version of a TFDS data set"),
    "tiny_imagenet": Reader(_read_tiny_imagenet, path=_IMAGES),
    "tfrecord": Reader(_read_tfrecord, path="a folder of TFRecord files"),
}


def read(dataset: str, request: Request) -> "records.Source":
    """Return a source.

    Raises:
        UserError: it is not there, or not as it must be.
    """
    reader = errors.lookup(READERS, dataset, "dataset")
    source = request.source
    if not reader.path:
        if source not in ("", "embedded"):
            raise errors.UserError(
                f"`source` is {source!r}; the {dataset} are embedded: leave it out."
            )
    elif source == "" or (source == "download" and dataset != "cifar10"):
        raise errors.UserError(
            f"`source` is {source!r}; it must be the path of {reader.path}."
        )
    found = reader.read(request)
    # A preparation that continues must have asked for the same.
    asked = {
        field.name: str(getattr(request, field.name))
        for field in dataclasses.fields(request)
        if field.name not in ("source", "output", "raise_if_stopped", "say")
    }
    return dataclasses.replace(found, fingerprint=f"{found.fingerprint} {asked}")
