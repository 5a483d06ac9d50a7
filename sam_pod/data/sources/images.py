"""Images in a folder or an archive: class folders, or flat beside a table of labels.

The examples are sorted by class and file name, so that a folder and a tar of the same
images are the same source. `split_names` says which folder is which split.
"""

import array
import os
from collections.abc import Mapping, Sequence

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import (
    flat_labels,
    held_out,
    image_labels,
    image_tree,
    mat_tables,
    published_splits,
    split_names,
    walking,
)
from sam_pod.data.sources import listing as listing_lib
from sam_pod.data.sources.image_labels import Asked
from sam_pod.data.stored import records


def read(path: str, scratch: str = ".", asked: Asked | None = None) -> records.Source:
    """Return the source in the folder, tar or zip at `path`.

    Args:
        path: The path of the images.
        scratch: A folder for unpacked files.
        asked: The user's wishes for splits and labels.

    Raises:
        UserError: no images there, or not in the layout.
    """
    if os.path.isdir(path):
        listing = walking.of_folder(path)
    elif os.path.exists(path):
        listing = walking.of_archive(path, scratch)
    else:
        raise errors.UserError(
            f"No source at {path!r}; pass a folder, a tar or a zip of images."
        )
    return of_listing(listing, asked)


def of_listing(
    listing: listing_lib.Listing, asked: Asked | None = None
) -> records.Source:
    """Return the source that a listing shows.

    Raises:
        UserError: no images there, or not in the layout.
    """
    return _Source(listing, asked or Asked()).source()


class _Source:
    """Finds out which images are of which split and class."""

    def __init__(self, listing: listing_lib.Listing, asked: Asked) -> None:
        self._listing, self._asked = listing, asked
        self._tree = image_tree.of_listing(listing)
        self._decisions: list[str] = []
        self._lists = ""  # A line on lists of splits that are not used.
        self._labels = image_labels.Labels(self._tree, asked, self._decisions)

    def source(self) -> records.Source:
        if not self._tree.folders:
            tables = [n for n in self._listing.names if n.lower().endswith(".csv")]
            pixels = (
                f" It has {tables[0]}: pixels in a table are read as arrays; save them "
                "as x_train, y_train, x_test and y_test of an .npz for --dataset=numpy."
                if tables
                else ""
            )
            raise errors.UserError(
                f"{self._listing.place} has no images of train; {image_tree.LAYOUT}."
                f"{pixels}"
            )
        groups = self._with_split_column(
            image_tree.groups(self._tree, self._asked.splits)
        )
        groups = self._with_published_splits(groups)
        choice = self._choice(groups)
        chosen = {split: groups[name] for split, name in choice.names.items()}
        self._labels.check_used()
        image_tree.check(self._tree, list(chosen.values()))
        self._check_classes(chosen)
        splits, lines = _splits(
            self._tree, chosen, self._labels.classes, choice.test_share
        )
        known = self._labels.said
        said = [known[name] for name in choice.names.values() if name in known]
        said = list(dict.fromkeys(said))  # A table of all splits says it once.
        return records.Source(
            name="images",
            classes=self._labels.classes,
            kind="images",
            place=self._listing.place,
            fingerprint=f"{self._listing.fingerprint}{self._labels.fingerprint}",
            splits=splits,
            decisions=(
                *self._listing.lines(),
                *self._decisions,
                *said,
                *choice.decisions,
                *lines,
            ),
        )

    def _choice(self, groups: Mapping[str, image_tree.Group]) -> split_names.Choice:
        if len(groups) == 1 and image_tree.WHOLE in groups:
            self._decisions.append("There are no folders of splits: all is one.")
        top = self._tree.folders.get("")
        if top and not self._labels.said and image_tree.WHOLE not in groups:
            self._decisions.append(
                f"{len(top):,} files beside the folders of the splits are left out."
            )
        labelled = {
            name: (lambda group=group: self._labels.of(group, groups))
            for name, group in groups.items()
        }
        try:
            return split_names.choose(labelled, self._asked.splits, self._listing.place)
        except errors.UserError as error:
            image_tree.check(self._tree, list(groups.values()))
            bare = [name for name, group in groups.items() if group.flat]
            if not bare and (told := self._lists or self._labels.overruled):
                raise errors.UserError(f"{error} {told}") from error
            if not bare:
                raise
            is_own = not isinstance(error, split_names.NoChoice)
            unmatched = "" if is_own else self._labels.unmatched()
            if unmatched:
                raise errors.UserError(
                    f"{self._listing.place} has no labels for the images of "
                    f"{' and '.join(map(repr, bare))}: {unmatched}"
                ) from error
            way = (
                f" Where {' and '.join(map(repr, bare))} are classes, and no splits, "
                f"pass --train_split={image_tree.WHOLE} --test_share=0.1."
                if len(bare) == len(groups) > 1
                and "train" not in split_names.roles(groups).values()
                else ""
            )
            raise image_tree.NoLabels(
                f"{error} The images of {' and '.join(map(repr, bare))} lie flat and "
                "say no classes: --labels=FILE.csv says them by their names."
                f"{way}{self._told(groups)}"
            ) from error

    def _told(self, groups: Mapping[str, image_tree.Group]) -> str:
        """Return a sentence on a table that does not fit, or on a set that is none."""
        if said := self._labels.unmatched_beside(groups):
            return f" {said}"
        for name in self._listing.names:
            folders, _, file = name.lower().rpartition("/")
            if {"labels", "annotations"} & set(folders.split("/")) and file.endswith(
                (".txt", ".xml", ".json")
            ):
                return (
                    f" What lies beside, such as {name}, looks like that of a set for "
                    "detection, and only classification is trained here."
                )
            if file.endswith(mat_tables.SUFFIX):
                return (
                    f" What {name} says is in no form that is known here: write that "
                    "csv from it."
                )
        return ""

    def _with_split_column(
        self, groups: Mapping[str, image_tree.Group]
    ) -> Mapping[str, image_tree.Group]:
        """Return the groups that a column of a table makes, where one does."""
        whole = groups.get(image_tree.WHOLE)
        if whole is None or bool(whole.flat) == bool(whole.by_class):
            return groups
        if whole.by_class:  # A table that is asked for says more than folders do.
            if not (self._labels.files() and self._labels.found(whole, groups)):
                return groups
            if not self._labels.used:
                return groups
            whole.flatten()
        found = self._labels.read(whole, groups)
        if found is None or not found.splits:
            return groups
        values = sorted(set(found.splits.values()))
        wish = self._asked.splits
        asked = {wish.train, wish.validation, wish.test} & set(values)
        if not (asked - {""} or any(map(split_names.role, values))):
            self._decisions.append(
                f"The splits in {found.path}, such as {values[0]!r}, are none of "
                "train, validation and test, and left out."
            )
            return groups
        made: dict[str, image_tree.Group] = {}
        for label, files in whole.by_class.items():
            for image in files:
                name = found.splits.get(image, "")
                group = made.setdefault(name, image_tree.Group(name))
                group.by_class.setdefault(label, array.array("q")).append(image)
        for image, name in found.unlabelled.items():
            made.setdefault(name, image_tree.Group(name)).flat.append(image)
        for name, group in made.items():
            group.faults += whole.faults
            self._labels.said[name] = self._labels.said[image_tree.WHOLE]
        if found.by:
            self._decisions.append(f"The splits are in {found.by} of {found.path}.")
        return made

    def _with_published_splits(
        self, groups: Mapping[str, image_tree.Group]
    ) -> Mapping[str, image_tree.Group]:
        """Return the groups that lists beside folders of classes make, if they do."""
        whole, wish = groups.get(image_tree.WHOLE), self._asked.splits
        if whole is None or whole.flat or self._labels.files():
            return groups
        is_asked = wish.test_share or wish.train == image_tree.WHOLE
        found = published_splits.find(
            self._tree, lambda: flat_labels.names_of(self._tree, [whole])
        )
        if found.line:
            unused = found.splits and is_asked
            asked = "Not used, for the flags say otherwise: " if unused else ""
            self._decisions.append(f"{asked}{found.line}")
        if not found.splits or is_asked:
            self._lists = found.line
            return groups
        return published_splits.groups(whole, found.splits)

    def _check_classes(self, chosen: Mapping[str, image_tree.Group]) -> None:
        for split, group in chosen.items():
            extra = sorted(group.by_class.keys() - set(self._labels.classes))
            if extra:
                names = image_tree.listed([repr(name) for name in extra])
                raise errors.UserError(
                    f"{self._listing.place} has the class {names} in {split}, but not "
                    "in train; every class must have images to train on."
                )


def _splits(
    tree: image_tree.Tree,
    chosen: Mapping[str, image_tree.Group],
    classes: Sequence[str],
    share: float,
) -> tuple[dict[str, records.SourceSplit], list[str]]:
    listing, prefix, lines = tree.listing, tree.prefix, []
    splits = {}
    for split, group in chosen.items():
        order, labels = _in_order(listing, group.by_class, classes)
        if split == "train" and share:
            keys = (listing.names[index].removeprefix(prefix) for index in order)
            test = held_out.rows(keys, share, labels)
            lines.append(held_out.line(share, len(order), len(test), labels))
            rest = np.delete(np.arange(len(order)), test)
            parts = {"train": rest.tolist(), "test": test.tolist()}
        else:
            parts = {split: range(len(order))}
        for name, rows in parts.items():
            splits[name] = listing_lib.split(
                listing,
                array.array("q", (order[row] for row in rows)),
                array.array("q", (labels[row] for row in rows)),
                prefix,
            )
    return splits, lines


def _in_order(
    listing: listing_lib.Listing,
    by_class: Mapping[str, array.array],
    classes: Sequence[str],
) -> tuple[array.array, array.array]:
    """Return entries and labels of a split, sorted by class and file name."""
    order, labels = array.array("q"), array.array("q")
    for label, name in enumerate(classes):
        files = sorted(by_class.get(name, ()), key=listing.names.__getitem__)
        order.extend(files)
        labels.extend([label] * len(files))
    return order, labels
