"""Images in a folder or an archive: class folders, or flat beside a table of labels.

The examples are sorted by class and file name, so that a folder and a tar of the same
images are the same source. Which folder is which split, `split_names` says.
"""

import array
import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import (
    flat_labels,
    held_out,
    image_tree,
    label_table,
    mat_tables,
    published_splits,
    split_names,
    split_tables,
)
from sam_pod.data.sources import listing as listing_lib
from sam_pod.data.stored import records

FOLDERS = "folders"  # As --labels: the names of the folders are the classes.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user says of a source; the defaults leave it to what is there."""

    splits: split_names.Wish = dataclasses.field(default_factory=split_names.Wish)
    labels: str = ""  # Paths of what says the classes of flat images, by commas.
    columns: label_table.Columns = dataclasses.field(
        default_factory=label_table.Columns
    )


def read(path: str, scratch: str = ".", asked: Asked | None = None) -> records.Source:
    """Return the source in the folder, tar or zip at `path`.

    Args:
        path: Of the images.
        scratch: A folder for what must be unpacked.
        asked: Of splits and labels.

    Raises:
        UserError: no images there, or not in the layout.
    """
    if os.path.isdir(path):
        listing = listing_lib.of_folder(path)
    elif os.path.exists(path):
        listing = listing_lib.of_archive(path, scratch)
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
        self._lists = ""  # What lists of splits say that are not used.
        self._said: dict[str, str] = {}  # By the group: how it got its labels.
        self._classes: tuple[str, ...] = ()  # Of train, once they are known.
        self._used: set[str] = set()  # Files of --labels that spoke.
        self._checksum = hashlib.sha256()

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
        self._check_labels_used()
        image_tree.check(self._tree, list(chosen.values()))
        self._check_classes(chosen)
        splits, lines = self._splits(chosen, choice.test_share)
        said = [
            self._said[name] for name in choice.names.values() if name in self._said
        ]
        said = list(dict.fromkeys(said))  # A table of all splits says it once.
        return records.Source(
            name="images",
            classes=self._classes,
            kind="images",
            place=self._listing.place,
            fingerprint=self._fingerprint(),
            splits=splits,
            decisions=(
                *self._listing.lines(),
                *self._decisions,
                *said,
                *choice.decisions,
                *lines,
            ),
        )

    def _fingerprint(self) -> str:
        read = self._checksum.hexdigest() if self._said else ""
        return f"{self._listing.fingerprint}{read}"

    def _choice(self, groups: Mapping[str, image_tree.Group]) -> split_names.Choice:
        if len(groups) == 1 and image_tree.WHOLE in groups:
            self._decisions.append("There are no folders of splits: all is one.")
        top = self._tree.folders.get("")
        if top and not self._said and image_tree.WHOLE not in groups:
            self._decisions.append(
                f"{len(top):,} files beside the folders of the splits are left out."
            )
        labelled = {
            name: (lambda group=group: self._label(group, groups))
            for name, group in groups.items()
        }
        try:
            return split_names.choose(labelled, self._asked.splits, self._listing.place)
        except errors.UserError as error:
            image_tree.check(self._tree, list(groups.values()))
            bare = [name for name, group in groups.items() if group.flat]
            if not bare and self._lists:
                raise errors.UserError(f"{error} {self._lists}") from error
            if not bare:
                raise
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
                f"{way}{self._told()}"
            ) from error

    def _told(self) -> str:
        """Return a sentence where a set seems to be for something else."""
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

    def _label(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> bool:
        """Return whether a group has labels; `choose` asks of train first."""
        if group.flat and not group.by_class:
            if group.name not in self._said:  # Else a table says that it has none.
                self._read_labels(group, groups)
        elif group.by_class and self._asked.labels != FOLDERS:
            self._compare_labels(group, groups)
        if not self._classes:
            by_table = group.name in self._said
            order = label_table.in_order if by_table else sorted
            self._classes = tuple(order(group.by_class))
        return bool(group.by_class)

    def _read_labels(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> label_table.Found | None:
        """Give the flat images of a group the classes that a table says."""
        found = self._found(group, groups)
        if found is None:
            return None
        for image in group.flat:
            if image in found.labels:
                label = found.labels[image]
                group.by_class.setdefault(label, array.array("q")).append(image)
        known: set[int] = set(found.labels)
        if group.name == image_tree.WHOLE:  # They become a split of their own.
            known |= found.unlabelled.keys()
        rest = [image for image in group.flat if image not in known]
        group.flat = array.array("q")
        self._said[group.name] = f"The classes of {group.name!r} are {found.decision}."
        group.faults += found.faults
        if rest:
            names = self._listing.names
            line = f"{len(rest):,} images are in no row, such as {names[rest[0]]}"
            if group.name == image_tree.WHOLE:
                self._said[group.name] += f" {line}: they are left out."
            else:
                group.faults.append(f"{line}: {found.path} must have one for each")
        self._checksum.update("\n".join(found.labels.values()).encode())
        return found

    def _compare_labels(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> None:
        """Take the labels of --labels instead of the folders' names.

        Raises:
            UserError: a table that lies there says others than the folders.
        """
        if group.name in self._said:
            return
        way = f"--labels={FOLDERS} takes the folders' names, --labels=FILE a table"
        try:
            found = self._found(group, groups)
        except errors.UserError as error:
            raise errors.UserError(f"{error} Or choose: {way}.") from error
        if found is None:
            return
        if self._used and not any(each.flat for each in groups.values()):
            group.flat = array.array("q", group.files)
            group.by_class.clear()
            group.faults.clear()
            self._read_labels(group, groups)
            return
        pairs = {
            (name, found.labels[image])
            for name, files in group.by_class.items()
            for image in files
            if image in found.labels
        }
        if found.splits and group.name == image_tree.WHOLE:
            self._decisions.append(
                f"{found.path} says splits, too, which "
                f"{split_tables.flag(found.path)} takes."
            )
        if len(pairs) > len({name for name, _ in pairs}):
            raise errors.UserError(
                f"{self._listing.place} has other classes in {found.path} than the "
                f"folders of {group.name!r} are called: choose, for {way}."
            )

    def _meanings(self, groups: Mapping[str, image_tree.Group]) -> dict[str, str]:
        wish = self._asked.splits
        asked = {wish.train: "train", wish.test: "test", wish.validation: "validation"}
        return {
            name: asked.get(name) or meaning
            for name, meaning in split_names.roles(groups).items()
        }

    def _found(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> label_table.Found | None:
        meanings = self._meanings(groups)
        meaning, known = meanings.get(group.name, ""), frozenset(self._classes)
        # Of a million images this takes a second: only where there is a table.
        own = functools.cache(lambda: flat_labels.names_of(self._tree, [group]))
        # A table that speaks of no split may be of any: its names must tell which.
        flat = [g for g in groups.values() if g.flat or g.name in self._said]
        others = flat if group.flat else list(groups.values())
        every = functools.cache(lambda: flat_labels.names_of(self._tree, others))
        # Without names a text can be of one split alone.
        last = "validation" if "validation" in meanings.values() else "test"
        columns = self._asked.columns
        answers: list[split_tables.Answer] = []
        for path in self._label_files():
            stem = os.path.splitext(os.path.basename(path))[0]
            split = split_names.mentioned(stem)
            if split in meanings.values() and split != meaning:
                continue
            names = own() if split == meaning else every()
            found = flat_labels.of_file(path, names, columns, known)
            if found is None and meaning == last and group.flat:
                found = flat_labels.of_file(path, own(), columns, known, in_order=True)
            inside = found and found.within(own())
            if inside:
                self._used.add(path)
                if group.name != image_tree.WHOLE:
                    return inside
                answers.append((split, inside))
                continue
            if found and found.faults and group.flat:
                raise errors.UserError(
                    f"{image_tree.listed(found.faults)}: say which with their folders."
                )
        if answers:
            place = self._listing.place
            return flat_labels.only(split_tables.joined(answers), group, place)
        return flat_labels.of_group(
            self._tree, group, meaning, (own, every), columns, known
        )

    def _label_files(self) -> list[str]:
        given = self._asked.labels
        return [] if given == FOLDERS else [path for path in given.split(",") if path]

    def _with_split_column(
        self, groups: Mapping[str, image_tree.Group]
    ) -> Mapping[str, image_tree.Group]:
        """Return the groups that a column of a table makes, where one does."""
        whole = groups.get(image_tree.WHOLE)
        if whole is None or bool(whole.flat) == bool(whole.by_class):
            return groups
        if whole.by_class:  # A table that is asked for says more than folders do.
            if not (self._label_files() and self._found(whole, groups)):
                return groups
            if not self._used:
                return groups
            whole.flat = array.array("q", whole.files)
            whole.by_class.clear()
            whole.faults.clear()
        found = self._read_labels(whole, groups)
        if found is None or not found.splits:
            return groups
        values = sorted(set(found.splits.values()))
        wish = self._asked.splits
        asked = {wish.train, wish.validation, wish.test} & set(values)
        if not (asked - {""} or any(map(split_names.role, values))):
            self._decisions.append(
                f"What {found.path} says of splits, such as {values[0]!r}, is none of "
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
            self._said[name] = self._said[image_tree.WHOLE]
        return made

    def _with_published_splits(
        self, groups: Mapping[str, image_tree.Group]
    ) -> Mapping[str, image_tree.Group]:
        """Return the groups that lists beside folders of classes make, if they do."""
        whole, wish = groups.get(image_tree.WHOLE), self._asked.splits
        if whole is None or whole.flat or self._label_files():
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

    def _check_labels_used(self) -> None:
        for path in sorted(set(self._label_files()) - self._used):
            raise errors.UserError(
                f"--labels={path} speaks of no images in {self._listing.place}: it "
                "must have their names in one column and their classes in another."
            )

    def _check_classes(self, chosen: Mapping[str, image_tree.Group]) -> None:
        for split, group in chosen.items():
            extra = sorted(group.by_class.keys() - set(self._classes))
            if extra:
                names = image_tree.listed([repr(name) for name in extra])
                raise errors.UserError(
                    f"{self._listing.place} has the class {names} in {split}, but not "
                    "in train; every class must have images to train on."
                )

    def _splits(
        self, chosen: Mapping[str, image_tree.Group], share: float
    ) -> tuple[dict[str, records.Split], list[str]]:
        listing, prefix, lines = self._listing, self._tree.prefix, []
        splits = {}
        for split, group in chosen.items():
            order, labels = _in_order(listing, group.by_class, self._classes)
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
