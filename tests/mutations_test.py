"""Files of ours that were damaged at random: used as if whole, or refused in one line.

The damage is the same each time: bits, pieces, values of another kind, links.
"""

import json
import os
import pathlib
import random
import shutil
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.data.input import dataset, notes, opening, scans
from sam_pod.data.inspect import survey
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images, numpy_arrays
from sam_pod.data.stored import manifest, verify
from sam_pod.run import build, checkpoints, continuing, spread, workdir
from sam_pod.step import state as state_lib
from sam_pod.storage import files
from tests import fixtures, runs, train_test
from tests.data.sources import packers

ROUNDS = 40  # For each kind of file.
_DEEP = "[" * 100_000 + "]" * 100_000
_VALUES = (
    *("null", "true", "-1", "0", "1.5", "1e999", "NaN", "9" * 400, "9" * 5000),
    *('""', '"x"', '"\\ud800"', '"\\u0000"', "[]", "{}", '{"a": []}', "[[[]]]"),
    *("[" * 300 + "]" * 300, '{"a":' * 900 + "0" + "}" * 900, _DEEP),
)


def mutated(content, rng):
    """Return bytes that differ from `content` in a place or two."""
    kind = rng.randrange(7)
    first, second = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    if kind == 0:
        return content[:first]
    if kind == 1:
        return content[:first] + content[second:]
    if kind == 2:
        return content[:second] + content[first:]
    if kind == 3:
        return content[:first] + rng.randbytes(rng.randrange(1, 20)) + content[first:]
    if kind == 4:
        return bytes(len(content))
    if kind == 5:
        return b""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def mutated_json(text, rng):
    """Return a JSON text in which one value or key is another, or bytes changed."""
    if rng.random() < 0.3:
        return mutated(text, rng)
    data = json.loads(text)
    places = []

    def walk(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(data)
    if not places:
        return mutated(text, rng)
    value, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[f"{key}x"] = value.pop(key)
    else:
        value[key] = "@@@"
    return json.dumps(data).replace('"@@@"', rng.choice(_VALUES), 1).encode()


def replaced(path, rng):
    """Put something else than a file in its place."""
    os.remove(path)
    if rng.random() < 0.5:
        os.symlink("nothing", path)
    else:
        os.mkdir(path)


def damage(path, rng):
    if rng.random() < 0.1:
        replaced(path, rng)
    else:
        change = mutated_json if path.suffix == ".json" else mutated
        path.write_bytes(change(path.read_bytes(), rng))


def survives(action, folder, rounds=ROUNDS):
    """Damage a file of a copy of `folder`, each time; `action` takes the copy.

    Returns how often it was refused.
    """
    refused = 0
    names = sorted(
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file()
    )
    # Not beside the folder: that may be inside of one that others copy.
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    for number in range(rounds):
        rng = random.Random(f"{folder.name} {number}")
        copy = place / folder.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        name = names[number % len(names)]
        damage(copy / name, rng)
        try:
            action(copy)
        except errors.UserError as error:
            refused += 1
            assert "\n" not in str(error), (number, name)
            assert len(str(error)) < 3000, (number, name)
        except Exception as error:
            raise AssertionError(f"round {number}, {name}") from error
    shutil.rmtree(place)
    return refused


def test_a_prepared_set(tmp_path, monkeypatch):
    fixtures.write_data(tmp_path / "set", train=12, test=6)

    def look(copy):
        made = manifest.read(str(copy))
        opening.read(str(copy), made)
        found = survey.Survey(made)
        verify.check(str(copy), made, found.look)
        survey.lines(made, found)

    # Every byte is reported, whether all are read or sizes and indexes alone.
    assert survives(look, tmp_path / "set") > 0.9 * ROUNDS

    def open_large(copy):
        opening.read(str(copy), manifest.read(str(copy)))

    monkeypatch.setattr(opening, "VERIFY_BYTES", 0)
    survives(open_large, tmp_path / "set")


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
    survives(lambda copy: manifest.read(str(copy)), folder, 3 * ROUNDS)


def test_what_a_preparation_has_done_so_far(tmp_path):
    """A part that was damaged is made again: the set is the same, in any case."""
    source = packers.tree.__wrapped__  # As a fixture makes it.
    tree = source(_Factory(tmp_path))
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
    assert survives(go_on, tmp_path / "begun", 24) <= 2


class _Factory:
    def __init__(self, path):
        self._path = path

    def mktemp(self, name):
        (self._path / name).mkdir()
        return self._path / name


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

    survives(read, folder)
    # As an older version wrote it, and what is none of ours.
    for text in (json.dumps([data]), "3", _DEEP, '{"value": 3, "crc32": 0}'):
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

    survives(read, folder, 2 * ROUNDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the config of a finished run and its workdir."""
    folder = tmp_path_factory.mktemp("finished")
    config = runs.small_config(folder, num_epochs=1)
    train_test.run(config, folder / "run")
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

    survives(read, folder)


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

    survives(restore, folder, 30)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_a_whole_run_on_a_damaged_workdir(finished, tmp_path, number):
    config, run = finished
    shutil.copytree(run, tmp_path / "run")
    if number % 2:
        (tmp_path / "run" / workdir.RESULT).unlink()
    rng = random.Random(number)
    names = [path for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()]
    damage(rng.choice(names), rng)
    try:
        train_test.run(config, tmp_path / "run")
    except errors.UserError as error:
        assert "\n" not in str(error)


RECIPES = {
    "VARIANTS = 3": "VARIANTS of",
    "VARIANTS = 'small'": "VARIANTS of",
    "VARIANTS = None": "VARIANTS of",
    "VARIANTS = [0]": "VARIANTS of",
    "get_config = 3": "TypeError",
    "raise SystemExit(3)": "SystemExit",
    "def get_config(v): return {}": "must return an ml_collections.ConfigDict",
    "import nothing_like_it": "ModuleNotFoundError",
    "\0": "null bytes",
    "config.sam = 3": "TypeError",
    "config.seed = {'a': 1}": "`seed.a`",
    "config.seed = 'x'": "must be of type int",
    "config.sam.rho = 10 ** 400": "`sam.rho` in",
    "config.sam.rho = 10 ** 5000": "`sam.rho` in",
    "config.sam.rho = float('nan')": "`sam.rho` is nan",
    "config.num_epochs = 10 ** 400": "`num_epochs`",
    "config.num_epochs = 10 ** 5000": "`num_epochs`",
    "config.data = config": "holds itself",
}


@pytest.mark.parametrize("text", RECIPES)
def test_a_recipe_that_is_none(tmp_path, text):
    path = tmp_path / "recipe.py"
    code = f"import ml_collections\n{text}\n"
    if text.startswith("config"):
        code = (
            "import ml_collections\ndef get_config(variant):\n"
            "    config = ml_collections.ConfigDict({'sam': {}, 'data': {}})\n"
            f"    {text}\n    return config\n"
        )
    elif "get_config" not in text:
        code += "def get_config(v): return ml_collections.ConfigDict()\n"
    path.write_text(code)
    with pytest.raises(errors.UserError) as raised:
        command_line.parse(["main", f"--config={path}"])
    assert RECIPES[text] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_json_is_read_as_deep_as_it_may_be():
    assert files.parse_json("[" * 50 + "]" * 50)
    for text in ("[" * 51 + "]" * 51, _DEEP, b"\xff", "9" * 5000):
        with pytest.raises(ValueError):
            files.parse_json(text)
