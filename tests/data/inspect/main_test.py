import io
import re
from unittest import mock

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.inspect import __main__ as inspect
from sam_pod.data.inspect import survey
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest
from sam_pod.process import signals
from sam_pod.storage import files
from tests.data import made

COUNTS = {"train/ant": 12, "train/bee": 3, "test/bee": 4}


@pytest.fixture
def prepared(tmp_path):
    """Return a function that prepares a little set."""
    tree = made.tree(tmp_path / "tree", COUNTS)
    (tree / "train/bee/big.jpg").write_bytes(made.jpeg(made.image(7, (20, 30, 3))))
    (tree / "train/bee/gray.png").write_bytes(made.png(made.image(8, (10, 9, 1))))

    def prepare(**options):
        source = images.read(str(tree))
        shards.write_with(
            source, str(tmp_path / "set"), 2, shards.ShardOptions(**options)
        )
        return tmp_path / "set"

    return prepare


def report(folder, output=""):
    return inspect.report(str(folder), output, lambda: None)


def test_counts_and_sizes_of_encoded_images(prepared):
    folder = prepared(encoding="encoded")
    text = report(folder)
    written = manifest.read(folder)
    assert "images: every CRC is right, of 4 shards and 4 indexes" in text
    assert written.source["sha256"] in text
    assert re.search(r"ant +12 +0\n", text) and re.search(r"bee +5 +4\n", text)
    assert re.search(r"all +17 +4$", text)
    assert (
        "encoded, 3 sizes, height 6 to 20 (median 6), width 4 to 30 (median 4)" in text
    )
    assert f"Mean: {written.mean[0]:.4f} {written.mean[1]:.4f}" in text
    assert "Label noise: none" in text


def test_raw_images_have_one_size(prepared):
    assert "raw, all 21 of 6x6, 3 channels" in report(prepared(image_size=6))


def test_the_noise_that_is_found_is_told(prepared):
    folder = prepared(image_size=6, label_noise=0.5, noise_seed=3)
    flipped = 0
    for shard in manifest.read(folder).splits["train"]:
        for record in tf.data.TFRecordDataset(str(folder / shard.file)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            labels = [feature[n].int64_list.value[0] for n in ("label", "true_label")]
            flipped += labels[0] != labels[1]
    assert flipped
    assert (
        f"Label noise: {flipped} of 17 training labels are flipped, "
        f"{flipped / 17:.4f}; asked for 0.5 (excluding) with seed 3"
    ) in report(folder)


@pytest.mark.parametrize("end", ["tfrecord", "index"])
def test_a_flipped_byte_anywhere_is_found(prepared, end):
    folder = prepared(encoding="encoded")
    path = max(folder.glob(f"test-*.{end}"))
    content = bytearray(path.read_bytes())
    content[-6] ^= 4
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=re.escape(str(path))):
        report(folder)


def tile(sheet, row, column):
    """Return the pixels of a tile, [64, 64, 3]."""
    top, left = 4 + 68 * row, 150 + 68 * column
    return sheet[top : top + 64, left : left + 64]


def test_the_sheet_shows_a_row_for_each_class(prepared, tmp_path):
    folder = prepared(image_size=8)
    report(folder, str(tmp_path / "sheet.png"))
    sheet = np.asarray(PIL.Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (4 + 2 * 68, 150 + 10 * 68 + 4, 3)
    stored = iter(tf.data.TFRecordDataset(sorted(map(str, folder.glob("train*d")))))
    for row, count in enumerate((12, 5)):
        assert (tile(sheet, row, 0)[:, :1] != 255).any()
        assert sheet[4 + 68 * row : 68 + 68 * row, :150].min() < 100  # The name.
        for column in range(count):
            record = next(stored).numpy()
            feature = tf.train.Example.FromString(record).features.feature
            (image,) = feature["image"].bytes_list.value
            pixels = np.frombuffer(image, np.uint8).reshape(8, 8, 3)
            if column < survey.SAMPLES:
                enlarged = pixels.repeat(8, axis=0).repeat(8, axis=1)
                np.testing.assert_array_equal(tile(sheet, row, column), enlarged)
    assert (tile(sheet, 1, 5) == 255).all()  # There are no more.


def test_images_of_any_size_and_broken_ones_are_shown(prepared, tmp_path):
    folder = prepared(encoding="encoded")
    read = manifest.read(folder)
    samples = {0: [made.png(made.image(1, (9, 90, 3))), b"no image"], 1: []}
    png = inspect_sheet(read, samples)
    sheet = np.asarray(PIL.Image.open(io.BytesIO(png)))
    assert (tile(sheet, 0, 0)[:20] == 255).all()  # Beside a flat one it is white.
    assert not (tile(sheet, 0, 0)[30:33] == 255).all()
    assert tuple(tile(sheet, 0, 1)[0, 0]) == (255, 0, 0)


def inspect_sheet(read, samples):
    from sam_pod.data.inspect import class_sheet

    return class_sheet.draw(read, samples)


def test_of_many_classes_some_are_shown():
    read = manifest.Manifest(
        name="many",
        classes=tuple(f"class {i}" for i in range(1000)),
        image_shape=(1, 1, 3),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        source={"kind": "made", "sha256": "0"},
        splits={"train": (), "test": ()},
    )
    found = survey.Survey(read)
    assert list(found.samples) == list(range(0, 992, 62))
    found.counts["train"].update({i: i + 1 for i in range(1000)})
    text = survey.lines(read, found)
    assert len(text) < 30
    assert any("... 1000 classes" in line and "1-1,000" in line for line in text)


def test_a_bucket_is_inspected(prepared):
    folder, name = prepared(encoding="encoded"), "ram://inspected/set"
    for path in folder.iterdir():
        tf.io.gfile.copy(str(path), f"{name}/{path.name}")
    text = report(name, "ram://inspected/sheet.png")
    assert "Contact sheet: ram://inspected/sheet.png" in text
    with tf.io.gfile.GFile("ram://inspected/sheet.png", "rb") as file:
        assert PIL.Image.open(io.BytesIO(file.read())).size == (834, 140)
    files.remove_folder("ram://inspected")


def test_the_command(prepared, tmp_path, capsys, monkeypatch):
    # This process keeps its signals.
    quiet = mock.MagicMock(came=False)
    monkeypatch.setattr(signals, "Interruption", lambda: quiet)
    folder = str(prepared(encoding="encoded"))
    output = f"--output={tmp_path / 'sheet.png'}"
    monkeypatch.chdir(tmp_path)
    assert inspect.main(["inspect", folder]) == 0
    assert not (tmp_path / "sheet.png").exists()  # Nor anybody's that is there.
    assert inspect.main(["inspect", folder, output]) == 0
    assert "every CRC is right" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").exists()
    for arguments, reason in (
        ([], "0 folders are given; it must be one"),
        ([folder, folder], "2 folders are given"),
        ([folder, "--outptu=x"], "Did you mean: output"),
        ([str(tmp_path / "nowhere")], "No data set at"),
        ([folder, f"--output={tmp_path}/no/sheet.png"], "Cannot use .*sheet.png"),
    ):
        assert inspect.main(["inspect", *arguments]) == 1
        error = capsys.readouterr().err
        assert re.search(reason, error) and error.count("\n") == 1
    assert inspect.main(["inspect", "--help"]) == 0
    assert "contact sheet" in capsys.readouterr().out
