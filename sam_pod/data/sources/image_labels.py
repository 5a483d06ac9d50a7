"""Which class each image has: by its folder, or by what lies beside it and says so."""

import array
import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence

from sam_pod import errors, wording
from sam_pod.data.sources import (
    devkit,
    flat_labels,
    image_tree,
    label_table,
    split_names,
    split_tables,
    table_columns,
    unmatched,
)

FOLDERS = "folders"  # As --labels: the names of the folders are the classes.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """The user's wishes for a source; the defaults leave all to what is there."""

    splits: split_names.Wish = dataclasses.field(default_factory=split_names.Wish)
    labels: str = ""  # Paths of files with the classes of flat images, by commas.
    columns: table_columns.AskedColumns = dataclasses.field(
        default_factory=table_columns.AskedColumns
    )


class Labels:
    """Gives images their classes, group by group; that of training comes first."""

    def __init__(
        self, tree: image_tree.Tree, asked: Asked, decisions: list[str]
    ) -> None:
        """Begin with no classes.

        Args:
            tree: The tree of the images.
            asked: The user's wishes.
            decisions: Lines about decisions, to which others are added.
        """
        self._tree, self._asked, self._decisions = tree, asked, decisions
        self._place = tree.listing.place
        self.said: dict[str, str] = {}  # By the group: how it got its labels.
        self.classes: tuple[str, ...] = ()  # The classes of train, once they are known.
        self.used: set[str] = set()  # Files of --labels that spoke.
        self.overruled = ""  # A line on splits of a table that do not count.
        self._checksum = hashlib.sha256()

    @property
    def fingerprint(self) -> str:
        """Another one when what was read may have changed; '' where nothing was."""
        return self._checksum.hexdigest() if self.said else ""

    def of(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> bool:
        """Return whether a group has labels; `choose` asks of train first."""
        if group.flat and not group.by_class:
            if group.name not in self.said:  # Else a table says that it has none.
                self.read(group, groups)
        elif group.by_class and self._asked.labels != FOLDERS:
            self._compare(group, groups)
        if not self.classes:
            by_value = label_table.in_order(group.by_class)
            if group.name in self.said:
                self.classes = tuple(by_value)
            else:
                self.classes = tuple(sorted(group.by_class))
                self._decisions += _as_text(self.classes, by_value)
        return bool(group.by_class)

    def read(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> label_table.TableLabels | None:
        """Give the flat images of a group the classes that a table says."""
        found = self.found(group, groups)
        if found is None:
            return None
        for image in group.flat:
            if image in found.labels:
                label = found.labels[image]
                group.by_class.setdefault(label, array.array("q")).append(image)
        if group.name != image_tree.WHOLE:
            self._tell_unread_splits(group, found)
        known: set[int] = set(found.labels)
        if group.name == image_tree.WHOLE:  # They become a split of their own.
            known |= found.unlabelled.keys()
        rest = [image for image in group.flat if image not in known]
        group.flat = array.array("q")
        self.said[group.name] = f"The classes of {group.name!r} are {found.decision}."
        group.faults += found.faults
        if rest:
            names = self._tree.listing.names
            count = wording.counted(len(rest), "image is", "images are")
            line = f"{count} in no row, such as {names[rest[0]]}"
            if group.name == image_tree.WHOLE:
                self.said[group.name] += f" {line}: they are left out."
            else:
                group.faults.append(f"{line}: {found.path} must have one for each")
        self._checksum.update("\n".join(found.labels.values()).encode())
        return found

    def _tell_unread_splits(
        self, group: image_tree.Group, found: label_table.TableLabels
    ) -> None:
        values = {found.splits[image] for image in group.flat if image in found.splits}
        if len(values) > 1:
            self.overruled = (
                f"{found.path} says splits in {found.by} as well "
                f"({', '.join(map(repr, sorted(values)[:3]))} within {group.name!r}): "
                "those of the folders count, or give the folder another name."
            )
            self._decisions.append(self.overruled)

    def _compare(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> None:
        """Take the labels of --labels instead of the folders' names.

        Raises:
            UserError: a table that lies there says others than the folders.
        """
        if group.name in self.said:
            return
        way = f"--labels={FOLDERS} takes the folders' names, --labels=FILE a table"
        try:
            found = self.found(group, groups)
        except errors.UserError as error:
            raise errors.UserError(f"{error} Or choose: {way}.") from error
        if found is None:
            return
        if self.used and not any(each.flat for each in groups.values()):
            group.flatten()
            self.read(group, groups)
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
                f"{self._place} has other classes in {found.path} than the "
                f"folders of {group.name!r} are called: choose, for {way}."
            )

    def _meanings(self, groups: Mapping[str, image_tree.Group]) -> dict[str, str]:
        wish = self._asked.splits
        asked = {wish.train: "train", wish.test: "test", wish.validation: "validation"}
        return {
            name: asked.get(name) or meaning
            for name, meaning in split_names.roles(groups).items()
        }

    def found(
        self, group: image_tree.Group, groups: Mapping[str, image_tree.Group]
    ) -> label_table.TableLabels | None:
        """Return what a table says about a group's images, None where none does.

        Raises:
            UserError: a table may mean several images.
        """
        meanings = self._meanings(groups)
        meaning, known = meanings.get(group.name, ""), frozenset(self.classes)
        # For a million images this takes a second: only where there is a table.
        own = functools.cache(lambda: flat_labels.names_of(self._tree, [group]))
        # A table that names no split may be of any: the names in it must show which.
        flat = [g for g in groups.values() if g.flat or g.name in self.said]
        others = flat if group.flat else list(groups.values())
        every = functools.cache(lambda: flat_labels.names_of(self._tree, others))
        # Without names a text can be of one split alone.
        last = "validation" if "validation" in meanings.values() else "test"
        columns = self._asked.columns
        answers: list[split_tables.Answer] = []
        for path in self.files():
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
                self.used.add(path)
                if group.name != image_tree.WHOLE:
                    return inside
                answers.append((split, inside))
                continue
            if found and found.faults and group.flat:
                raise errors.UserError(
                    f"{image_tree.listed(found.faults)}: say which with their folders."
                )
        if answers:
            joined = split_tables.joined(answers)
            return flat_labels.only(joined, group, self._place)
        return flat_labels.of_group(
            self._tree, group, meaning, (own, every), columns, known
        )

    def files(self) -> list[str]:
        """Return the tables that --labels names."""
        given = self._asked.labels
        return [] if given == FOLDERS else [path for path in given.split(",") if path]

    def check_used(self) -> None:
        """Refuse tables of --labels that said nothing.

        Raises:
            UserError: naming one.
        """
        for path in sorted(set(self.files()) - self.used):
            way = self._unmatched(path) or f"{unmatched.NO_TABLE}."
            raise errors.UserError(
                f"--labels={path} names no images in {self._place}: {way}"
            )

    def unmatched(self) -> str:
        """Return a sentence on a file of --labels that names no image; '' for none."""
        rest = sorted(set(self.files()) - self.used)
        return next(filter(None, map(self._unmatched, rest)), "")

    def _unmatched(self, path: str) -> str:
        if devkit.read(path) is not None:
            return ""
        names = self._all_names()
        content = flat_labels.content(path, names)
        return unmatched.line(path, content, names, self._asked.columns.image)

    def unmatched_beside(self, groups: Mapping[str, image_tree.Group]) -> str:
        """Return such a sentence on a table that lies beside the images."""
        names, meanings = self._all_names(), self._meanings(groups)
        wanted = self._asked.columns.image
        for group in (group for group in groups.values() if group.flat):
            meaning = meanings.get(group.name, "")
            for path, content, *_ in flat_labels.beside(self._tree, group, meaning):
                with contextlib.suppress(errors.UserError):
                    said = unmatched.line(path, content, names, wanted)
                    if said and unmatched.NO_TABLE not in said:
                        return said
        return ""

    def _all_names(self) -> Mapping[int, str]:
        whole = image_tree.Group(image_tree.WHOLE)
        for files in self._tree.folders.values():
            whole.flat.extend(files)
        return flat_labels.names_of(self._tree, [whole])


def _as_text(classes: Sequence[str], by_value: Sequence[str]) -> Iterator[str]:
    """Yield a line where folders whose names are numbers are not in their order.

    They are in that of torchvision and Keras, whose heads are to fit; a table's classes
    are in that of their values.
    """
    for place, (text, value) in enumerate(zip(classes, by_value, strict=True)):
        if text != value:
            yield (
                "Class folders are in the order of their names as text, as in "
                f"torchvision and Keras: {text!r} is class {place}, which by value "
                f"{value!r} would be."
            )
            return
