"""The figures of a finished run answer only a command that names its inputs."""

import json
import shutil
import subprocess
import sys

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.input import dataset
from sam_pod.data.stored import manifest
from sam_pod.run import digests, finished, result_file, workdir
from tests import fixtures, runs
from tests.data import sets

RESULT = {"test_accuracy": 0.5, "test_loss": 1.0, "epochs": 4, "best_epoch": 4}
OF_KEY = {
    "data.dir": "data/manifest.json",
    "model.name": "small.keras",
    "model.trusted_modules": "mine.py",
}


@pytest.fixture
def run(tmp_path):
    """Return (config, workdir) of a run that ended, without training it."""
    code = tmp_path / "mine.py"
    code.write_text("A = 1\n")
    config = runs.small_config(tmp_path, **{"model.trusted_modules": str(code)})
    folder = str(tmp_path / "run")
    data = manifest.read(config.data.dir).digest()
    workdir.begin(folder, config, digests.of_inputs(config, data)).close()
    result_file.write(folder, RESULT)
    return config, folder


def change(folder, key):
    path = folder / OF_KEY[key]
    if key == "data.dir":
        others = folder / "others"
        if not others.exists():
            fixtures.write_data(others, train=101, test=30)
        shutil.copy(others / "manifest.json", path)
    elif key == "model.name":
        runs.save_model(path, seed=2)
    else:
        path.write_text("A = 2\n")


@pytest.mark.parametrize("key", OF_KEY)
def test_another_input_is_refused_and_one_that_is_gone_is_told(
    run, tmp_path, caplog, key
):
    config, folder = run
    assert finished.compare(folder, config) == []
    assert finished.find(folder, config) == RESULT
    content = (tmp_path / OF_KEY[key]).read_bytes()
    (tmp_path / OF_KEY[key]).unlink()
    (line,) = finished.compare(folder, config)
    known = json.loads((tmp_path / "run/inputs.json").read_text())
    assert line.startswith(f"`{key}` {config_lib.flatten(config)[key]} is not there")
    assert f"{known[key][:12]}… in {folder}/inputs.json" in line
    assert finished.find(folder, config) == RESULT
    change(tmp_path, key)
    with pytest.raises(errors.UserError, match=f"another content of `{key}` than"):
        finished.find(folder, config)
    (tmp_path / OF_KEY[key]).write_bytes(content)
    assert finished.compare(folder, config) == []
    # A run of an older version noted less.
    (tmp_path / "run/inputs.json").write_text("{}")
    change(tmp_path, key)
    assert finished.compare(folder, config) == []


def test_files_of_others_are_compared_too(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files, folder = tmp_path / "theirs", str(tmp_path / "run")
    files.mkdir()

    def write(name, seed):
        rows = [sets.serialized(sets.png(sets.noisy(seed, (8, 8))), 0)]
        sets.write_file(files / name, rows)

    write("train-0", 1)
    write("test-0", 2)
    named = {"train": "train-*", "test": "test-*"}
    of_files = {f"data.files.{split}": pattern for split, pattern in named.items()}
    size = {"data.image_size": 8, "data.num_classes": 4}
    keys = {"data.dir": str(files), **of_files, **size}
    config = runs.small_config(tmp_path, **keys)
    data = dataset.read_manifest(config).digest()
    workdir.begin(folder, config, digests.of_inputs(config, data)).close()
    assert finished.compare(folder, config) == []
    write("train-0", 3)
    with pytest.raises(errors.UserError, match=r"another content of `data\.dir`"):
        finished.compare(folder, config)
    (files / "train-0").unlink()
    assert len(finished.compare(folder, config)) == 1


PROGRAM = """
import sys
from sam_pod import main
code = main.main(["main", *sys.argv[1:]])
assert "tensorflow" not in sys.modules
sys.exit(code)
"""


def test_the_command_compares_without_tensorflow(run, tmp_path):
    config, folder = run
    recipe = runs.write_recipe(tmp_path / "recipe.py", config)
    words = [f"--config={recipe}", f"--workdir={folder}"]

    def told():
        process = [sys.executable, "-c", PROGRAM, *words]
        done = subprocess.run(process, capture_output=True, text=True, cwd=runs.ROOT)
        return done.returncode, done.stdout, done.stderr

    code, out, err = told()
    assert (code, err) == (0, "") and "finished already" in out
    runs.save_model(config.model.name, seed=2)
    code, out, err = told()
    assert code == 1 and "accuracy" not in out and err.count("\n") == 1
    assert "another content of `model.name`" in err


class Worker:
    """One of two; the chief's bytes are what the other one gets."""

    sent = b""

    def __init__(self, *, is_chief):
        self.is_chief = is_chief

    def chiefs_bytes(self, data):
        Worker.sent = data if self.is_chief else Worker.sent
        return Worker.sent


def test_every_worker_refuses_what_the_chief_does(run):
    config, folder = run
    chief, other = Worker(is_chief=True), Worker(is_chief=False)
    assert finished.agreed(folder, config, chief) == RESULT
    assert finished.agreed("elsewhere", config, other) == RESULT
    runs.save_model(config.model.name, seed=2)
    for worker in (chief, other):
        with pytest.raises(errors.UserError, match=r"another content of `model\.name`"):
            finished.agreed(folder, config, worker)
