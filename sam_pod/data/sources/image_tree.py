"""Where the images of a listing lie: folders of splits, of classes, or neither.

    <split>/<class>/*           also <split>/<split>/<class>/*, <class>/images/*
    <split>/*                   flat: a table says the classes, or nothing does
    <class>/*                   no splits
Images that lie deeper are refused. Texts and tables are no images, and left out here.
"""

import array
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from sam_pod import errors, wording
from sam_pod.data.sources import listing as listing_lib
from sam_pod.data.sources import litter, split_names

WHOLE = "."  # The group of all images, where there are no folders of splits.
LAYOUT = "the images must lie at train/<class>/<file> and test/<class>/<file>"

# Folders that hold images and say nothing about them.
_HOLDERS = frozenset(
    {"images", "image", "imgs", "img", "pictures", "photos", "data", "jpegimages"}
)
# Folders that hold the targets of other kinds of learning, beside one of images.
_TOLD = frozenset({"masks", "mask", "labels", "label", "annotations", "segmentation"})
_SHOWN = 5  # An error names this many faults of a kind.


class NoLabels(errors.UserError):
    """Nothing says the classes of images that lie flat."""


@dataclasses.dataclass(frozen=True)
class Tree:
    """The folders with images, and those without anything."""

    listing: listing_lib.Listing
    prefix: str  # The leading folders, which no other name begins with.
    folders: Mapping[str, array.array]  # By the path: the entries that are its images.
    empty: Sequence[str]  # Folders below which there is no image.


@dataclasses.dataclass
class Group:
    """Images that lie together: a split, or all there are."""

    name: str
    by_class: dict[str, array.array] = dataclasses.field(default_factory=dict)
    flat: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    faults: list[str] = dataclasses.field(default_factory=list)

    @property
    def files(self) -> Iterator[int]:
        """All its images."""
        return itertools.chain(self.flat, *self.by_class.values())

    def flatten(self) -> None:
        """Forget the classes that the folders say."""
        self.flat = array.array("q", self.files)
        self.by_class.clear()
        self.faults.clear()


def of_listing(listing: listing_lib.Listing) -> Tree:
    """Return the tree of a listing."""
    folders: dict[str, array.array] = {}
    others = []
    for index, (name, size) in enumerate(
        zip(listing.names, listing.sizes, strict=True)
    ):
        if size < 0:
            others.append(name)
        elif litter.kind(name.rpartition("/")[2]) == "image":
            folder = name.rpartition("/")[0]
            if folder not in folders:
                folders[folder] = array.array("q")
            folders[folder].append(index)
    prefix = _leading_folders(folders)
    filled = {
        above for folder in folders for above in itertools.accumulate(_steps(folder))
    }
    return Tree(
        listing,
        prefix,
        {_below(folder, prefix): files for folder, files in folders.items()},
        [
            _below(name, prefix)
            for name in sorted(others)
            if name.startswith(prefix) and f"{name}/" not in filled
        ],
    )


def _steps(folder: str) -> list[str]:
    return [f"{part}/" for part in folder.split("/")]


def _below(folder: str, prefix: str) -> str:
    return f"{folder}/".removeprefix(prefix).rstrip("/")


def _leading_folders(folders: Mapping[str, object]) -> str:
    """Return the path of the folders that lie around those of the splits."""
    prefix = ""
    while True:
        rests = {f"{folder}/".removeprefix(prefix) for folder in folders}
        tops = {rest.partition("/")[0] for rest in rests}
        (top,) = tops if len(tops) == 1 else ("",)
        if not top or split_names.role(top):
            return prefix
        prefix += f"{top}/"


def groups(tree: Tree, wish: split_names.Wish) -> dict[str, Group]:
    """Return the groups of a tree by their names; each notes what is wrong in it."""
    tops: dict[str, dict[str, array.array]] = {}
    for folder, files in tree.folders.items():
        top, _, rest = folder.partition("/")
        tops.setdefault(top, {})[rest] = files
    named = {wish.train, wish.validation, wish.test} & tops.keys() - {""}
    if wish.train == WHOLE or not (named or any(split_names.roles(tops).values())):
        return {WHOLE: _group(WHOLE, "", tree.folders, tree.empty)}
    found = {}
    for top, folders in tops.items():
        if top:
            inside = (e for e in tree.empty if e.startswith(f"{top}/"))
            empty = [_below(folder, f"{top}/") for folder in inside]
            found[top] = _group(top, top, folders, empty)
    return found


def _group(
    name: str, path: str, folders: Mapping[str, array.array], empty: Sequence[str]
) -> Group:
    """Return a group.

    Args:
        name: The group's name.
        path: The path of its folder, below the prefix.
        folders: The folders in it, by the paths below.
        empty: The folders in it without images.
    """
    group, inner = Group(name), ""
    while (child := _only_child(folders, inner)) and _holds(child, name):
        inner += f"{child}/"
    for folder, files in folders.items():
        first, *rest = _below(folder, inner).split("/")
        if not first:
            group.flat.extend(files)
            continue
        of_class = group.by_class.setdefault(first, array.array("q"))
        if not rest or (len(rest) == 1 and rest[0].lower() in _HOLDERS):
            of_class.extend(files)
        else:
            group.faults.append(f"{_joined(path, folder)}/ is out of place")
    if group.flat and group.by_class:
        where = _joined(path, inner.rstrip("/")) or "the top"
        images = wording.counted(
            len(group.flat),
            f"image that lies in {where} itself is",
            f"images that lie in {where} itself are",
        )
        group.faults.append(f"{images} out of place")
    for folder in empty:
        below = _below(folder, inner)
        if "/" not in below and group.by_class and below not in group.by_class:
            group.faults.append(f"{_joined(path, folder)} is empty")
    return group


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _only_child(folders: Mapping[str, object], inner: str) -> str:
    children = {f"{f}/".removeprefix(inner).partition("/")[0] for f in folders}
    return children.pop() if len(children) == 1 else ""


def _holds(child: str, name: str) -> bool:
    """Return whether a lone folder in a split is no class, but holds the images."""
    meaning = split_names.role(child)
    return (
        child.lower() in _HOLDERS
        or child == name
        or bool(meaning and meaning == split_names.role(name))
    )


def check(tree: Tree, chosen: Sequence[Group]) -> None:
    """Refuse what is wrong in the groups that are used, all of it at once.

    Raises:
        UserError: naming the first of each kind, and how many there are.
    """
    place, faults = tree.listing.place, [f for group in chosen for f in group.faults]
    names = {name.lower() for group in chosen for name in group.by_class}
    told = _TOLD & names
    if told and _HOLDERS & names:  # And not faces with 'mask' and 'no_mask'.
        raise errors.UserError(
            f"{place} has {' and '.join(sorted(told))} beside its images, as sets for "
            "detection or segmentation have; only classification is trained here: "
            f"{LAYOUT}."
        )
    if faults:
        is_place = any(f.endswith(("out of place", "is empty")) for f in faults)
        way = f"; {LAYOUT}. Move, fill or delete what is named." if is_place else "."
        raise errors.UserError(f"In {place}, {listed(faults)}{way}")


def listed(faults: Sequence[str]) -> str:
    """Return some faults in a line, and how many more there are."""
    more = len(faults) - _SHOWN
    return "; ".join(faults[:_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")
