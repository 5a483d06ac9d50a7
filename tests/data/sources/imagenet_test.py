import io
import shutil

import numpy as np
import pytest
import scipy.io

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import devkit, imagenet, images
from sam_pod.data.stored import verify
from tests.data import made

WNIDS = ("n01440764", "n01443537", "n02084071")
TRUTH = [2, 0, 1, 1, 0]  # The classes of val's images, in the order of their names.


def train_images():
    return {
        wnid: {f"{wnid}_{i}.JPEG": made.jpeg(made.image(i, (9, 8, 3))) for i in (10, 9)}
        for wnid in WNIDS
    }


def val_images():
    return {
        f"ILSVRC2012_val_{i + 1:08d}.JPEG": made.jpeg(made.image(50 + i, (7, 9, 3)))
        for i in range(len(TRUTH))
    }


def write_tars(folder):
    folder.mkdir()
    inner = {f"{wnid}.tar": made.tar(files) for wnid, files in train_images().items()}
    # Neither the classes nor the images are in order.
    (folder / imagenet.TRAIN).write_bytes(made.tar(dict(reversed(inner.items()))))
    (folder / imagenet.VAL).write_bytes(made.tar(dict(reversed(val_images().items()))))
    (folder / "labels.txt").write_text("\n".join(WNIDS[i] for i in TRUTH))
    return folder


def write_tree(folder, *, flat):
    for wnid, files in train_images().items():
        (folder / "train" / wnid).mkdir(parents=True)
        for name, content in files.items():
            (folder / "train" / wnid / name).write_bytes(content)
    for label, (name, content) in zip(TRUTH, val_images().items(), strict=True):
        parent = folder / "val" if flat else folder / "val" / WNIDS[label]
        parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_bytes(content)
    return folder


def write_devkit(path):
    """Write a devkit whose numbers are in another order than the names."""
    dtype = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    numbers = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2}
    synsets = np.array([(number, w, "a fish") for w, number in numbers.items()], dtype)
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets[:, None]})
    truth = "".join(f"{numbers[WNIDS[i]]}\n" for i in TRUTH).encode()
    root = "ILSVRC2012_devkit_t12/data"
    name = "ILSVRC2012_validation_ground_truth.txt"
    members = {f"{root}/meta.mat": meta.getvalue(), f"{root}/{name}": truth}
    path.write_bytes(made.tar(members, "w:gz"))
    return path


def read(folder, labels=""):
    return imagenet.read(str(folder), images.Asked(labels=str(labels)))


def check(source):
    assert (source.name, source.classes) == ("imagenet", WNIDS)
    train = made.items(source, "train")
    assert [item.label for item in train] == [0, 0, 1, 1, 2, 2]
    expected = [
        files[f"{w}_{i}.JPEG"] for w, files in train_images().items() for i in (10, 9)
    ]
    assert [item.image for item in train] == expected
    found = {item.image: item.label for item in made.items(source, "test")}
    assert found == dict(zip(val_images().values(), TRUTH, strict=True))
    made.check_random_access(source)


def test_the_official_tars_with_a_text_of_labels(tmp_path):
    folder = write_tars(tmp_path / "source")
    source = read(folder, folder / "labels.txt")
    check(source)
    keys = [item.key for item in made.items(source, "train")]
    assert keys[:2] == [f"train/{WNIDS[0]}/{WNIDS[0]}_{i}.JPEG" for i in (10, 9)]


def test_the_official_tars_with_the_devkit(tmp_path):
    folder = write_tars(tmp_path / "source")
    devkit = write_devkit(tmp_path / "devkit.tar.gz")
    check(read(folder, devkit))


def test_folders(tmp_path):
    check(read(write_tree(tmp_path / "a", flat=False)))
    flat = write_tree(tmp_path / "b", flat=True)
    check(read(flat, write_devkit(tmp_path / "devkit.tar.gz")))


def test_images_stay_as_they_are_whatever_their_size(tmp_path):
    folder = write_tars(tmp_path / "source")
    source = read(folder, folder / "labels.txt")
    options = shards.ShardOptions(encoding="encoded")
    report = shards.write_with(source, str(tmp_path / "set"), 2, options)
    written = report.manifest
    assert (written.image_encoding, written.image_shape) == ("encoded", (0, 0, 3))
    verify.check(tmp_path / "set", written)


def refusal(*arguments):
    with pytest.raises(errors.UserError) as raised:
        read(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_val_without_labels_is_refused(tmp_path):
    assert "pass --labels=PATH" in refusal(write_tars(tmp_path / "a"))
    assert "pass --labels=PATH" in refusal(write_tree(tmp_path / "b", flat=True))


@pytest.mark.parametrize("name", [imagenet.TRAIN, imagenet.VAL])
def test_a_missing_tar_is_named(tmp_path, name):
    folder = write_tars(tmp_path / "source")
    (folder / name).unlink()
    assert f"lacks {name}" in refusal(folder, folder / "labels.txt")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_folder_is_named(tmp_path, split):
    shutil.rmtree(write_tree(tmp_path / "a", flat=False) / split)
    reason = {"train": "to train on", "val": "with labels to test on"}[split]
    assert f"has no split {reason}" in refusal(tmp_path / "a")


def test_labels_that_do_not_fit_are_named(tmp_path):
    folder = write_tars(tmp_path / "source")
    labels = folder / "labels.txt"
    labels.write_text("\n".join(WNIDS))
    assert "has 3 labels, but there are 5 images" in refusal(folder, labels)
    labels.write_text("\n".join(["n01440764", "490", *WNIDS]))
    assert f"label 2 of {labels} is '490'" in refusal(folder, labels)
    labels.write_bytes(b"\xff\xfe")
    assert f"Cannot read {labels}" in refusal(folder, labels)
    assert "Cannot read nowhere" in refusal(folder, "nowhere")


def test_a_devkit_that_is_none_is_named(tmp_path):
    folder, path = write_tars(tmp_path / "source"), tmp_path / "devkit.tar.gz"
    path.write_bytes(made.tar({"data/meta.mat": b"x"}, "w:gz"))
    assert "lacks ILSVRC2012_validation_ground_truth.txt" in refusal(folder, path)
    members = {"meta.mat": b"x" * 500, "ILSVRC2012_validation_ground_truth.txt": b"1"}
    path.write_bytes(made.tar(members, "w:gz"))
    assert "Cannot read the labels in" in refusal(folder, path)


@pytest.mark.parametrize(
    "members, reason",
    [
        ({"n01440764/1.JPEG": b"x"}, "there must be a tar for each class"),
        ({"n01440764.tar": made.tar({})}, "The class n01440764.tar in .* is empty"),
        ({"n01440764.tar": b"no tar" * 200}, "Cannot read n01440764.tar in"),
        ({}, "has no images of train"),
    ],
)
def test_a_train_tar_that_is_none_is_named(tmp_path, members, reason):
    folder = write_tars(tmp_path / "source")
    (folder / imagenet.TRAIN).write_bytes(made.tar(members))
    with pytest.raises(errors.UserError, match=reason):
        read(folder, folder / "labels.txt")


def test_a_tar_that_is_cut_short_is_named(tmp_path):
    folder = write_tars(tmp_path / "source")
    content = (folder / imagenet.TRAIN).read_bytes()
    for size in (300, len(content) // 2, 5000):
        (folder / imagenet.TRAIN).write_bytes(content[:size])
        assert "Cannot read" in refusal(folder, folder / "labels.txt"), size


def test_the_devkit_beside_the_images_is_read_without_being_named(tmp_path):
    folder = write_tars(tmp_path / "tars")
    write_devkit(folder / devkit.NAME)
    check(read(folder))
    flat = write_tree(tmp_path / "flat", flat=True)
    write_devkit(flat / devkit.NAME)
    source = read(flat)
    check(source)
    assert f"The classes of val are by {flat / devkit.NAME}." in source.decisions
    folders = write_tree(tmp_path / "folders", flat=False)
    write_devkit(folders / devkit.NAME)
    check(read(folders))
    shutil.rmtree(folders / "val")
    assert "has no split with labels to test on" in refusal(folders)


def test_kaggles_table_serves_the_official_tars(tmp_path):
    folder = write_tars(tmp_path / "source")
    rows = [
        f"{name.removesuffix('.JPEG')},{WNIDS[label]} 1 2 3 4"
        for label, name in zip(TRUTH, val_images(), strict=True)
    ]
    solution = tmp_path / "LOC_val_solution.csv"
    solution.write_text("\n".join(["ImageId,PredictionString", *reversed(rows)]))
    check(read(folder, solution))
    solution.write_text("\n".join(["ImageId,PredictionString", *rows[:3]]))
    assert "2 images of val are in no row" in refusal(folder, solution)
