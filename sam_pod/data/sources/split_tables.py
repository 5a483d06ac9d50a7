"""Tables of one split each beside images of all splits, joined to one table.

images/*  train.csv  val.csv  test.csv                              (file, class)
images/*  images_variant_train.txt  images_variant_test.txt  …      FGVC-Aircraft
"""

import os
import shlex
from collections.abc import Iterable, Sequence

from sam_pod.data.sources import label_table, split_names

# A table's split, '' for none, and what it says.
Answer = tuple[str, label_table.TableLabels]


def joined(answers: Iterable[Answer]) -> list[label_table.TableLabels]:
    """Return what tables say, those that differ by the split alone as one.

    If tables cannot be joined (one split alone, or an image in two), those of training
    count, and those of no split.
    """
    families: dict[tuple[str, ...], list[Answer]] = {}
    found = []
    for split, answer in answers:
        if split:
            families.setdefault(_family(answer.path), []).append((split, answer))
        else:
            found.append(answer)
    for members in families.values():
        whole = _as_one(members)
        found += [whole] if whole else [each for s, each in members if s == "train"]
    return found


def choice(answers: Sequence[label_table.TableLabels]) -> str:
    """Return the --labels that choose each of several answers, with `or` between."""
    return " or ".join(flag(answer.path) for answer in answers)


def flag(path: str) -> str:
    """Return the --labels that names a table, or several that are one."""
    return shlex.quote(f"--labels={path}")


def _family(path: str) -> tuple[str, ...]:
    """Return the folder and the words of a table's path but for its split."""
    folder, file = os.path.split(path)
    stem = os.path.splitext(file)[0]
    words = (w for w in split_names.words(stem) if not split_names.role(w))
    return folder, *words


def _as_one(members: Sequence[Answer]) -> label_table.TableLabels | None:
    classes = {
        y for s, answer in members if s == "train" for y in answer.labels.values()
    }
    # Another column than the classes may be all that a table of test has.
    members = [(s, a) for s, a in members if classes & set(a.labels.values())]
    names = [split for split, _ in members]
    if "train" not in names or len(set(names)) != len(names) or len(names) == 1:
        return None
    labels: dict[int, str] = {}
    splits: dict[int, str] = {}
    for split, answer in members:
        if labels.keys() & answer.labels.keys():
            return None
        labels |= answer.labels
        splits |= dict.fromkeys(answer.labels, split)
    return label_table.TableLabels(
        ",".join(answer.path for _, answer in members),  # As --labels takes them.
        labels,
        splits,
        "; ".join(answer.decision for _, answer in members),
        [fault for _, answer in members for fault in answer.faults],
    )
