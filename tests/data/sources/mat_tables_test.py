"""Classes and splits in MATLAB files, written here as they are published."""

import numpy as np
import pytest
import scipy.io

from sam_pod import errors
from sam_pod.data.sources import images
from tests.data.sources import layouts, trees

BOXES = [(f"bbox_{name}", "u2") for name in ("x1", "y1", "x2", "y2")]


def struct(rows, *fields):
    """Return an array as SciPy writes MATLAB's arrays of structures."""
    made = np.zeros((1, len(rows)), [*BOXES, *((field, object) for field in fields)])
    for field, values in zip(fields, zip(*rows, strict=True), strict=True):
        made[field][0, :] = np.array(values, object)
    return made


def names(*of):
    return np.array([of], object)


def write(root, paths, tables):
    layouts.write(root, paths)
    for path, content in tables.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / path, content)
    return root


def cars(root):
    """With all images in one folder, as in cars_annos.mat."""
    paths = [f"car_ims/{i:06}.jpg" for i in range(1, 7)]
    rows = [(path, 1 + i % 2, int(i > 3)) for i, path in enumerate(paths)]
    annotations = struct(rows, "relative_im_path", "class", "test")
    classes = names("AM General Hummer SUV 2000", "Acura, RL 2012")
    table = {"annotations": annotations, "class_names": classes}
    expected = {"train": {classes[0, 0]: 2, classes[0, 1]: 2}}
    expected["test"] = {classes[0, 0]: 1, classes[0, 1]: 1}
    return write(root, paths, {"cars_annos.mat": table}), expected


def cars_in_two(root):
    """With folders of the splits, in which names repeat, and the devkit."""
    paths = [f"cars_{s}/0000{i}.jpg" for s in ("train", "test") for i in range(4)]

    def annotated(labels):
        rows = [(path[-9:], y) for path, y in zip(paths, labels, strict=False)]
        return {"annotations": struct(rows, "fname", "class")}

    bare = struct([(path[-9:],) for path in paths[4:]], "fname")
    tables = {
        "devkit/cars_meta.mat": {"class_names": names("a", "b")},
        "devkit/cars_train_annos.mat": annotated((1, 2, 2, 2)),
        "devkit/cars_test_annos.mat": {"annotations": bare},
        "devkit/cars_test_annos_withlabels.mat": annotated((1, 1, 1, 2)),
    }
    expected = {"train": {"a": 1, "b": 3}, "test": {"a": 3, "b": 1}}
    return write(root, paths, tables), expected


def flowers(root):
    paths = [f"jpg/image_{i:05}.jpg" for i in range(1, 13)]
    tables = {
        "imagelabels.mat": {"labels": np.array([[77, 8] * 6], "u1")},
        "setid.mat": {
            "trnid": np.array([[1, 2, 3, 4]], "u2"),
            "valid": np.array([[5, 6]], "u2"),
            "tstid": np.array([[12, 11, 10, 9, 8, 7]], "u2"),
        },
    }
    expected = {"train": {"8": 2, "77": 2}, "validation": {"8": 1, "77": 1}}
    return write(root, paths, tables), expected | {"test": {"8": 3, "77": 3}}


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("of", [cars, cars_in_two, flowers])
def test_the_published_classes_and_splits_are_taken(tmp_path, of, kind):
    path, expected = of(tmp_path / "source")
    if kind == "tar":
        path = trees.pack(tmp_path / "a.tar", path, folders=True)
    source = images.read(str(path))
    assert layouts.counts(source) == expected
    assert any("The classes of" in line and ".mat" in line for line in source.decisions)


def test_labels_names_one_of_them_elsewhere(tmp_path):
    root, expected = flowers(tmp_path / "source")
    for file in ("imagelabels.mat", "setid.mat"):
        (root / file).rename(tmp_path / file)
    with pytest.raises(errors.UserError, match=r"say no classes: --labels=FILE\.csv"):
        images.read(str(root))
    asked = images.Asked(labels=str(tmp_path / "imagelabels.mat"))
    assert layouts.counts(images.read(str(root), asked=asked)) == expected


@pytest.mark.parametrize("content", [{"x": np.zeros((2, 2))}, None])
def test_other_content_is_named_with_the_way_on(tmp_path, content):
    root = write(tmp_path / "source", layouts.numbered("jpg", 4), {})
    path = root / "index.mat"
    path.write_bytes(b"no matrix")
    if content:
        scipy.io.savemat(path, content)
    with pytest.raises(errors.UserError, match=r"What index\.mat says is in no form"):
        images.read(str(root))
    asked = images.Asked(labels=str(path))
    with pytest.raises(errors.UserError, match=r"index\.mat says no .* write a csv of"):
        images.read(str(root), asked=asked)
