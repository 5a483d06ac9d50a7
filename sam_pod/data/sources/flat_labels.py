"""The classes of images that lie flat, from a table beside them or --labels.

Tables are looked for beside the images and above them, by names that mention the split
(train.csv, LOC_val_solution.csv, val_annotations.txt) or labels (labels.csv).
--labels names a table, a text with the class of each image in the order of their
names, or ImageNet's devkit.
"""

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    devkit,
    image_tree,
    label_table,
    mat_tables,
    split_names,
    split_tables,
    table_columns,
)
from sam_pod.data.sources import listing as listing_lib

Names = Callable[[], Mapping[int, str]]

_TABLES = (".csv", ".tsv", ".txt", ".jsonl")
_SPEAK = frozenset(
    {"label", "labels", "annotation", "annotations", "metadata", "targets", "classes"}
)
_SPEAK_NOT = frozenset({"sample", "submission", "boxes", "mapping", "readme"})


def of_group(
    tree: image_tree.Tree,
    group: image_tree.Group,
    meaning: str,
    names: tuple[Names, Names],
    columns: table_columns.AskedColumns,
    known: frozenset[str] = frozenset(),
) -> label_table.TableLabels | None:
    """Return what a table beside the images says about them; None for no table.

    Args:
        tree: The tree of the images.
        group: The group of the images.
        meaning: The split that they may be, '' for any.
        names: Functions that return the paths of its images, and of all images.
        columns: The columns that are asked for.
        known: The classes, where they are known: then no other counts.

    Raises:
        UserError: two tables name them, or one cannot be read.
    """
    own, every = names
    answers: list[split_tables.Answer] = []
    is_whole = group.name == image_tree.WHOLE
    for path, told, is_inside, split in beside(tree, group, meaning):
        images = own() if is_inside or split else every()
        try:
            answer = label_table.Table(path, told).look(images, columns, known)
        except errors.UserError:
            if not is_whole or split in ("", "train"):
                raise
            answer = None  # Only train's table must be clear.
        if answer and (answer := answer.within(own())):
            answers.append((split if is_whole else "", answer))
    return only(split_tables.joined(answers), group, tree.listing.place)


def only(
    found: Sequence[label_table.TableLabels], group: image_tree.Group, place: str
) -> label_table.TableLabels | None:
    """Return what one table says, None where there is none.

    Raises:
        UserError: there are several.
    """
    if len(found) > 1:
        paths = "; ".join(answer.path for answer in found)
        raise errors.UserError(
            f"{paths} each say classes of the images of {group.name!r} in {place}: "
            f"choose with {split_tables.choice(found)}."
        )
    return found[0] if found else None


def of_file(
    path: str,
    names: Mapping[int, str],
    columns: table_columns.AskedColumns,
    known: frozenset[str] = frozenset(),
    *,
    in_order: bool = False,
) -> label_table.TableLabels | None:
    """Return what a file of --labels says about some images; None if about others.

    Args:
        path: The file's path.
        names: The path of each image.
        columns: The columns that are asked for.
        known: The classes, where they are known.
        in_order: Whether it may hold the classes alone, in the order of the names.

    Raises:
        UserError: it cannot be read, or is not as it must be.
    """
    values = devkit.read(path)
    if values is None:
        table = label_table.Table(path, content(path, names))
        if found := table.look(names, columns, known):
            return found
        values = table.tokens
    if not in_order or values is None:
        return None
    if len(values) != len(names):
        raise errors.UserError(
            f"{path} has {len(values)} labels, but there are {len(names)} images; "
            "there must be one for each, or a table of their names and classes."
        )
    order = _order(path, names)
    faults = [
        f"label {line} of {path} is {value[:40]!r}, which is no class of train"
        for line, value in enumerate(values, 1)
        if known and value not in known
    ]
    labels = dict(zip(order, values, strict=True))
    decision = f"in {path}, in the order of the images' names"
    return label_table.TableLabels(path, labels, {}, decision, faults)


def content(path: str, names: Mapping[int, str]) -> bytes:
    """Return a table of --labels; what MATLAB wrote, with the files beside it, as csv.

    Raises:
        UserError: it cannot be read, or is of MATLAB and says no classes of images.
    """
    if not path.lower().endswith(mat_tables.SUFFIX):
        return _read(path)[1]
    folder = os.path.dirname(path) or "."
    beside = (
        os.path.join(folder, name)
        for name in sorted({*os.listdir(folder), os.path.basename(path)})
        if name.lower().endswith(mat_tables.SUFFIX)
    )
    files = {
        file: (os.path.getsize(file), functools.partial(_bytes, file))
        for file in map(os.path.normpath, beside)
        if os.path.isfile(file)
    }
    found = mat_tables.find(files, names.values())
    for table in found:
        if os.path.normpath(path) == table.path:
            return table.content
    raise errors.UserError(
        f"{path} says no classes of images in a form that is known here (that of "
        "Stanford Cars, of Oxford Flowers): write a csv of the columns file, label and "
        "split from it, and pass that."
    )


def _bytes(path: str) -> bytes:
    return _read(path)[1]


def _order(path: str, names: Mapping[int, str]) -> list[int]:
    """Return images in the order of their names.

    Raises:
        UserError: letter by letter it is another order than by the numbers in them.
    """
    order = sorted(names, key=names.__getitem__)
    counted = sorted(names, key=lambda i: (_by_numbers(names[i]), names[i]))
    for image, other in zip(order, counted, strict=True):
        if image != other:
            raise errors.UserError(
                f"{path} has labels in the order of the images' names, which is not "
                f"clear: letter by letter {names[image]} comes before {names[other]}, "
                "by their numbers after it. Say the classes in a table with the names "
                "of the images, such as a csv of file,label."
            )
    return order


def _by_numbers(name: str) -> list[str | int]:
    """Return a key that sorts '2.png' before '10.png'."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def names_of(
    tree: image_tree.Tree, groups: Iterable[image_tree.Group]
) -> dict[int, str]:
    """Return the paths of the images of some groups, below the prefix."""
    names, prefix = tree.listing.names, tree.prefix
    return {
        index: names[index].removeprefix(prefix)
        for group in groups
        for index in group.files
    }


def beside(
    tree: image_tree.Tree, group: image_tree.Group, meaning: str
) -> Iterator[tuple[str, bytes, bool, str]]:
    """Yield the tables that may name a group's images.

    Each comes with its path and content, whether it lies within the group, and its
    split, '' for none.
    """
    outer = itertools.accumulate(f"{part}/" for part in tree.prefix.split("/") if part)
    folders = {"", *outer}
    names = tree.listing.names
    folders |= {f"{names[index].rpartition('/')[0]}/" for index in group.flat}
    if group.name != image_tree.WHOLE:
        folders.add(f"{tree.prefix}{group.name}/")
    is_whole = group.name == image_tree.WHOLE
    for path, read in _files(tree, folders):
        stem = os.path.splitext(os.path.basename(path))[0]
        words = set(split_names.words(stem))
        split = split_names.mentioned(stem)
        is_asked = is_whole or split == (meaning or "train")
        speaks = is_asked if split else words & _SPEAK
        if speaks and not words & _SPEAK_NOT:
            yield (*read(), f"/{group.name}/" in f"/{path}", split)
    for table in _of_matlab(tree, group):
        split = split_names.mentioned(os.path.splitext(os.path.basename(table.path))[0])
        if not split or is_whole or split == (meaning or "train"):
            yield table.path, table.content, False, split


def _of_matlab(
    tree: image_tree.Tree, group: image_tree.Group
) -> Sequence[mat_tables.Table]:
    """Return what MATLAB's files say, wherever they lie in the tree."""
    listing = tree.listing
    files = {
        name: (size, functools.partial(listing_lib.content, listing, index))
        for index, (name, size) in enumerate(
            zip(listing.names, listing.sizes, strict=True)
        )
        if name.lower().endswith(mat_tables.SUFFIX)
    }
    if not files:
        return ()
    return mat_tables.find(files, names_of(tree, [group]).values())


def _files(
    tree: image_tree.Tree, folders: set[str]
) -> Iterator[tuple[str, Callable[[], tuple[str, bytes]]]]:
    """Yield the path of each text in some folders, and a function that reads it."""
    listing = tree.listing
    if os.path.isdir(listing.path):
        for folder in sorted(folders):
            if not os.path.isdir(os.path.join(listing.path, folder)):
                continue  # A split that a list says, and no folder.
            with os.scandir(os.path.join(listing.path, folder)) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            for entry in found:
                if _is_text(entry.name) and entry.is_file():
                    path = os.path.normpath(entry.path)
                    yield path, functools.partial(_read, path)
        return
    for index, (name, size) in enumerate(
        zip(listing.names, listing.sizes, strict=True)
    ):
        folder, slash, _ = name.rpartition("/")
        if _is_text(name) and size >= 0 and folder + slash in folders:
            yield name, functools.partial(_read_entry, listing, index)


def _is_text(name: str) -> bool:
    return name.lower().endswith(_TABLES)


def _read(path: str) -> tuple[str, bytes]:
    try:
        with open(path, "rb") as file:
            return path, file.read()
    except OSError as error:
        raise archives.unreadable(path, error) from error


def _read_entry(listing: listing_lib.Listing, index: int) -> tuple[str, bytes]:
    said = f"{listing.names[index]} in {listing.place}"
    return said, listing_lib.content(listing, index)
