"""Files of ours that were damaged at random: used as if whole, or refused in one line.

The damage is the same each time: bits, pieces, values of another kind, links.
"""

import json
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import dataset, notes, opening, scans
from sam_pod.data.inspect import survey
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images, numpy_arrays
from sam_pod.data.stored import manifest, verify
from sam_pod.run import build, checkpoints, continuing, spread, workdir
from sam_pod.step import state as state_lib
from sam_pod.storage import files
from tests import fixtures, mutations, runs, training
from tests.data.sources import packers


def test_a_prepared_set(tmp_path, monkeypatch):
    fixtures.write_data(tmp_path / "set", train=12, test=6)

    def look(copy):
        made = manifest.read(str(copy))
        opening.read(str(copy), made)
        found = survey.Survey(made)
        verify.check(str(copy), made, found.look)
        survey.lines(made, found)

    # Every byte is reported, whether all are read or sizes and indexes alone.
    assert mutations.survives(look, tmp_path / "set") > 0.9 * mutations.ROUNDS

    def open_large(copy):
        opening.read(str(copy), manifest.read(str(copy)))

    monkeypatch.setattr(opening, "VERIFY_BYTES", 0)
    mutations.survives(open_large, tmp_path / "set")


@pytest.mark.parametrize("version", [1, 2])
def test_a_manifest_that_has_no_digest_of_itself(tmp_path, version):
    made = fixtures.write_data(tmp_path / "set", train=12, test=6)
    data = json.loads((tmp_path / "set" / manifest.FILE_NAME).read_text())
    del data["digest"], data["decisions"]
    data["schema_version"] = version
    if version == 1:
        del data["image_encoding"], data["label_noise"]
        for shard in (shard for part in data["splits"].values() for shard in part):
            del shard["index_crc32"]
    folder = tmp_path / "manifest"
    folder.mkdir()
    (folder / manifest.FILE_NAME).write_text(json.dumps(data))
    assert manifest.read(str(folder)).digest() != made.digest() or version == 2
    mutations.survives(
        lambda copy: manifest.read(str(copy)), folder, 3 * mutations.ROUNDS
    )


def test_what_a_preparation_has_done_so_far(tmp_path):
    """A part that was damaged is made again: the set is the same, in any case."""
    tree = packers.make_tree(tmp_path / "flowers")
    shards.write(images.read(str(tree)), str(tmp_path / "whole"), num_shards=2)
    expected = packing_contents(tmp_path / "whole")
    partial = tmp_path / "set.partial"

    class StopError(Exception):
        pass

    def stop(count):
        if count:
            raise StopError

    keep = (*shards._KEPT_ON, StopError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_KEPT_ON", keep)
        with pytest.raises(StopError):
            shards.write_with(
                images.read(str(tree)), str(tmp_path / "set"), 2, progress=stop
            )
    assert (partial / ".prepare").is_dir()

    def go_on(copy):
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)
        copy.rename(partial)
        shards.write(images.read(str(tree)), str(tmp_path / "set"), num_shards=2)
        assert packing_contents(tmp_path / "set") == expected

    shutil.copytree(partial, tmp_path / "begun")
    # A folder in place of a file is said in a line.
    assert mutations.survives(go_on, tmp_path / "begun", 24) <= 2


def packing_contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_notes_on_files_of_others(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "a").write_bytes(b"some file")
    data = {
        "file": "a",
        "num_bytes": 9,
        "modified": (folder / "a").stat().st_mtime_ns,
        "crc32": 5,
        "offsets": scans.base64.b64encode(np.array([0, 9], "<i8").tobytes()).decode(),
    }
    notes.write(str(folder), "kind", [data])
    assert notes.read(str(folder), "kind") == [data]
    (kept,) = (folder / notes.FOLDER).iterdir()

    def read(copy):
        assert notes.read(str(copy), "kind") in (None, [data])

    mutations.survives(read, folder)
    # As an older version wrote it, and what is none of ours.
    for text in (json.dumps([data]), "3", mutations.DEEP, '{"value": 3, "crc32": 0}'):
        kept.write_text(text)
        assert notes.read(str(folder), "kind") is None


def test_arrays(tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": rng.integers(0, 3, shape).astype(kind_of)
        for split, count in (("train", 9), ("test", 4))
        for kind, shape, kind_of in (
            ("x", (count, 4, 4, 3), "uint8"),
            ("y", (count,), "int64"),
        )
    }
    np.savez_compressed(folder / "a.npz", **arrays)
    np.savez(folder / "b.npz", **arrays)

    def read(copy):
        for path in copy.glob("*.npz"):
            source = numpy_arrays.read(str(path), str(tmp_path))
            for split in source.splits.values():
                list(split.read(0, split.num_examples))

    mutations.survives(read, folder, 2 * mutations.ROUNDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the config of a finished run and its workdir."""
    folder = tmp_path_factory.mktemp("finished")
    config = runs.small_config(folder, num_epochs=1)
    training.run(config, folder / "run")
    return config, folder / "run"


@pytest.mark.slow
def test_what_a_workdir_says(finished):
    config, run = finished
    inputs = json.loads((run / workdir.INPUTS).read_text())
    folder = run.with_name("said")
    folder.mkdir()
    for path in run.glob("*.json"):
        shutil.copy(path, folder)
    assert {path.name for path in folder.iterdir()} >= {
        workdir.CONFIG,
        workdir.INPUTS,
        workdir.RESULT,
    }

    def read(copy):
        workdir.check(str(copy), config)
        workdir.check_inputs(str(copy), config, inputs)
        continuing.finished(str(copy), config)
        continuing.check_spread(
            str(copy), config, spread.Spread(1, 1, None, None), frozenset()
        )
        workdir.read_decisions(str(copy))
        workdir.read_config(str(copy))

    mutations.survives(read, folder)


def test_checkpoints(finished):
    """The one before is taken, or a line says that there is none."""
    _, run = finished
    folder = run / workdir.CHECKPOINTS
    config = finished[0]
    recipe = build.build_recipe(config, dataset.read_manifest(config), 5)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)

    def restore(copy):
        checkpoints.Checkpoints(str(copy), state).restore_latest()

    mutations.survives(restore, folder, 30)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_a_whole_run_on_a_damaged_workdir(finished, tmp_path, number):
    config, run = finished
    shutil.copytree(run, tmp_path / "run")
    if number % 2:
        (tmp_path / "run" / workdir.RESULT).unlink()
    rng = random.Random(number)
    names = [path for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()]
    mutations.damage(rng.choice(names), rng)
    try:
        training.run(config, tmp_path / "run")
    except errors.UserError as error:
        assert "\n" not in str(error)


def test_json_is_read_as_deep_as_it_may_be():
    assert files.parse_json("[" * 50 + "]" * 50)
    for text in ("[" * 51 + "]" * 51, mutations.DEEP, b"\xff", "9" * 5000):
        with pytest.raises(ValueError):
            files.parse_json(text)
