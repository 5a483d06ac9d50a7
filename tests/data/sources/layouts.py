"""Folders of images as people have them, written for tests."""

import collections
import json

from tests.data import made

PNG = made.png(made.image(0, (2, 2, 3)))
WNIDS = ("n01440764", "n02084071")


def numbered(folder, count, start=0):
    return [f"{folder}/{index}.png" for index in range(start, start + count)]


def classes(*folders, names="ab", count=2):
    return [
        path
        for f in folders
        for name in names
        for path in numbered(f"{f}/{name}", count)
    ]


def table(head, rows):
    return "\n".join([*([head] if head else []), *rows])


def write(root, layout):
    for path in layout:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = layout[path] if isinstance(layout, dict) else None
        file.write_bytes(PNG if text is None else text.encode())
    return root


def with_tables(paths, tables):
    return dict.fromkeys(paths) | tables


def counts(source):
    """Return by split how many examples each class has."""
    return {
        split: {
            source.classes[label]: count
            for label, count in sorted(
                collections.Counter(i.label for i in made.items(source, split)).items()
            )
        }
        for split in source.splits
    }


def both(count):
    return {"a": count, "b": count}


TINY = {
    **dict.fromkeys(f"train/{w}/images/{w}_{i}.JPEG" for w in WNIDS for i in range(2)),
    **{f"train/{w}/{w}_boxes.txt": f"{w}_0.JPEG\t0\t0\t1\t1" for w in WNIDS},
    **dict.fromkeys(f"val/images/val_{i}.JPEG" for i in range(3)),
    "val/val_annotations.txt": table(
        "", [f"val_{i}.JPEG\t{WNIDS[i % 2]}\t0\t32\t44\t62" for i in range(3)]
    ),
    **dict.fromkeys(f"test/images/test_{i}.JPEG" for i in range(2)),
    "wnids.txt": "\n".join(WNIDS),
    "words.txt": "\n".join(f"{w}\ta fish" for w in WNIDS),
}
CLS_LOC = "ILSVRC/Data/CLS-LOC"
KAGGLE = {
    **dict.fromkeys(f"{CLS_LOC}/train/{w}/{w}_{i}.JPEG" for w in WNIDS for i in (1, 2)),
    **dict.fromkeys(f"{CLS_LOC}/val/ILSVRC2012_val_0000000{i}.JPEG" for i in range(3)),
    **dict.fromkeys(f"{CLS_LOC}/test/ILSVRC2012_test_{i}.JPEG" for i in range(3)),
    "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000000.xml": "<x/>",
    "ILSVRC/ImageSets/CLS-LOC/val.txt": "ILSVRC2012_val_00000000 1",
    "LOC_synset_mapping.txt": "\n".join(f"{w} a fish" for w in WNIDS),
    "LOC_sample_submission.csv": "ImageId,PredictionString\nILSVRC2012_test_0,x",
    "LOC_train_solution.csv": f"ImageId,PredictionString\nx,{WNIDS[0]} 1 2 3 4",
    "LOC_val_solution.csv": table(
        "ImageId,PredictionString",
        [
            f"ILSVRC2012_val_0000000{i},{WNIDS[i % 2]} 85 1 499 272 "
            + (f"{WNIDS[i % 2]} 1 2 3 4 " if i else "")
            for i in range(3)
        ],
    ),
}
FISH = {"train": dict.fromkeys(WNIDS, 2), "test": {WNIDS[0]: 2, WNIDS[1]: 1}}
SPLITS = ["train"] * 4 + ["TEST"] * 2 + ["valid"] * 2
FOUR = [f"{i},{'ab'[i % 2]}" for i in range(4)]


# What lies there, and how many examples of each class there are then by split.
def json_lines(count, **more):
    """Return lines of objects, whose keys are not in one order."""
    rows = [
        {"file_name": f"{i}.png", "label": "ab"[i % 2], **more} for i in range(count)
    ]
    rows[1:] = [dict(reversed(row.items())) for row in rows[1:]]
    return "\n".join(map(json.dumps, rows)) + "\n\n"


LAYOUTS = {
    "plain": (classes("train", "test"), {"train": both(2), "test": both(2)}),
    "other names": (
        classes("Training", "TESTING"),
        {"train": both(2), "test": both(2)},
    ),
    "a name around": (
        classes("seg/seg_train/seg_train", "seg/seg_test/seg_test")
        + numbered("seg/seg_pred/seg_pred", 3),
        {"train": both(2), "test": both(2)},
    ),
    "val alone": (classes("train", "val"), {"train": both(2), "test": both(2)}),
    "flat test": (
        classes("train", "val") + numbered("test", 3),
        {"train": both(2), "test": both(2)},
    ),
    "three": (
        classes("train", "valid", "test"),
        {"train": both(2), "test": both(2), "validation": both(2)},
    ),
    "images in classes": (
        [p.replace("/a/", "/a/images/") for p in classes("train", "test")],
        {"train": both(2), "test": both(2)},
    ),
    "a folder of images": (
        with_tables(
            classes("images/train", "images/test"), {"labels/classes.txt": "a\nb"}
        ),
        {"train": both(2), "test": both(2)},
    ),
    "tiny imagenet": (TINY, FISH),
    "kaggle imagenet": (KAGGLE, FISH),
    "kaggle": (
        with_tables(
            numbered("train", 4) + numbered("test", 2, 4) + classes("val"),
            {
                "train.csv": table("id,breed", FOUR),
                "test.csv": "id\n4\n5",
                "sample_submission.csv": "id,breed\n4,a\n5,a",
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
    "two tables": (
        with_tables(
            numbered("train_images", 4) + numbered("test_images", 2, 4),
            {
                "train_labels.csv": table(
                    "label;image_id;width",
                    [f"{'ab'[i % 2]};{i}.png;{i % 3}" for i in range(4)],
                ),
                "test_labels.csv": "label;image_id;width\na;4.png;1\nb;5.png;1",
            },
        ),
        {"train": both(2), "test": both(1)},
    ),
    "paths": (
        with_tables(
            numbered("Train/1", 2) + numbered("Train/2", 2) + numbered("Test", 2),
            {"Test.csv": "Width,ClassId,Path\n9,1,Test/0.png\n9,2,Test/1.png"},
        ),
        {"train": {"1": 2, "2": 2}, "test": {"1": 1, "2": 1}},
    ),
    "a JSON object in each line, as of Hugging Face": (
        with_tables(
            numbered("train", 4) + numbered("test", 2),
            {
                "train/metadata.jsonl": json_lines(4),
                "test/metadata.jsonl": json_lines(2, score=None),
            },
        ),
        {"train": both(2), "test": both(1)},
    ),
    "a column of splits": (
        with_tables(
            numbered("pictures", 8),
            {
                "labels.csv": table(
                    "file,class,data set",
                    [f"pictures/{i}.png,{'ab'[i % 2]},{SPLITS[i]}" for i in range(8)],
                )
            },
        ),
        {"train": both(2), "test": both(1), "validation": both(1)},
    ),
    **{
        f"a column of splits, test is {label or 'empty'}": (
            with_tables(
                numbered("pictures", 8),
                {
                    "labels.csv": table(
                        "file,class,split",
                        [
                            f"{i}.png,{label if s == 'TEST' else 'ab'[i % 2]},{s}"
                            for i, s in enumerate(SPLITS)
                        ],
                    )
                },
            ),
            {"train": both(2), "test": both(1)},
        )
        for label in ("", "-1", "nan")
    },
    "comments": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {
                "train.csv": table(
                    "# made by hand, 2024, twice\n#by me\nfile,label",
                    ["#another", *FOUR],
                )
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
    "titles behind a hash": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.csv": table("# Path;Class", [r.replace(",", ";") for r in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "names that begin with a hash": (
        with_tables(
            [f"train/#{i}.png" for i in range(4)] + classes("test"),
            {"train.csv": table("", [f"#{row}" for row in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "comments and no marks": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.txt": table("# name class", [r.replace(",", " ") for r in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "one-hot": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {
                "train.csv": table(
                    "image,a,b", [f"{i},{1 - i % 2}.0,{i % 2}.0" for i in range(4)]
                )
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
}
