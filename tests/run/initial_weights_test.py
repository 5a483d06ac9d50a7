"""A run that begins with weights of another: of its folder, its export, or a file."""

import json
import shutil

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.export import folder as export_folder
from sam_pod.models import transfer
from sam_pod.process import signals
from sam_pod.run import checkpoint_folder, checkpoint_values, initial_weights, trained
from tests import fixtures, runs
from tests.training import StopAfter, run

VALUES = {
    "num_epochs": 1,
    "data.augment": "",
    "early_stopping.patience": 0,
    "schedule.name": "constant",
    "optimizer.name": "sgd",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run on four classes, and data of three classes."""
    keras.utils.clear_session()
    folder = tmp_path_factory.mktemp("begins")
    config = runs.small_config(folder, **VALUES, **{"ema.decay": 0.5})
    run(config, folder / "old")
    (folder / "three").mkdir()
    keras.utils.clear_session()  # As in a process of its own.
    runs.save_model(folder / "three" / "small.keras", classes=3, seed=2)
    fixtures.write_data(folder / "three" / "data", train=64, classes=3)
    return folder


def config_of(folder, source, **more):
    values = {**VALUES, "model.initial_weights": str(source), "ema.decay": 0.9, **more}
    return runs.small_config(folder / "three", **values)


@pytest.fixture(scope="module")
def old(folder):
    """Return the averages of the run's last checkpoint by name, through its model."""
    read = trained.read(str(folder / "old"), "latest")
    network, values = read.recipe.network, read.checkpoint.values
    names = [*network.initial_weights(), *network.initial_stats()]
    return dict(zip(names, [*values.weights, *values.stats], strict=True))


def test_a_checkpoint_is_read_by_name_without_its_model(folder, old):
    path = checkpoint_folder.paths(str(folder / "old" / "checkpoints"))[-1]
    found = checkpoint_values.evaluated(path)
    assert found.keys() == old.keys()
    for name, value in old.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "export", "file"])
def test_every_kind_of_source_gives_the_same(folder, old, kind):
    exported = folder / "exported"
    if not exported.exists():
        export_folder.write(str(folder / "old"), str(exported), batch_size=2)
    source = {"run": folder / "old", "export": exported}.get(kind)
    config = config_of(folder, source or exported / "model.keras")
    found = initial_weights.find(str(folder / "none"), config)
    assert found.values.keys() == old.keys()
    for name, value in old.items():
        np.testing.assert_array_equal(found.values[name], value)
    assert found.input_range == ("" if kind == "file" else "unit")


def test_a_run_begins_with_them_and_so_does_its_average(folder, old, caplog):
    """A step of a tiny rate moves nothing by more than that."""
    caplog.set_level("INFO", "absl")
    more = {"optimizer.learning_rate": 1e-6, "optimizer.momentum": 0.0}
    config = config_of(folder, folder / "old", **more)
    with pytest.raises(signals.Interrupted):
        run(config, folder / "new", StopAfter(0))
    (line,) = (m for m in caplog.messages if m.startswith("Weights of "))
    assert "new dense/kernel [8, 3] (there [8, 4]), dense/bias [3]" in line
    values = runs.checkpoint_values(folder / "new")
    path = checkpoint_folder.paths(str(folder / "new" / "checkpoints"))[-1]
    assert int(values["step/.ATTRIBUTES/VARIABLE_VALUE"]) > 0
    kernels = {n for n in old if n.endswith("/kernel") and not n.startswith("dense")}
    average = checkpoint_values.evaluated(path)
    for name in kernels:
        np.testing.assert_allclose(average[name], old[name], atol=1e-4)
    report = json.loads((folder / "new" / initial_weights.REPORT).read_text())
    assert report["new"] == ["dense/bias", "dense/kernel"]
    assert len(report["taken"]) == len(old) - 2


def test_what_was_taken_is_known_by_its_digest(tmp_path):
    def digest(**values):
        arrays = {name: np.asarray(value, np.float32) for name, value in values.items()}
        fit = transfer.Fit(arrays, {}, {}, {}, True, 1, 1)
        initial_weights.keep(str(tmp_path), initial_weights.Source("it", {}, ""), fit)
        return json.loads((tmp_path / initial_weights.REPORT).read_text())["digest"]

    found = digest(a=[1, 2], b=[3])
    assert found == digest(b=[3], a=[1, 2]) and len(found) == 64
    others = (digest(a=[1, 2], b=[4]), digest(a=[[1], [2]], b=[3]), digest(a=[1, 2]))
    assert len({found, *others}) == 4


@pytest.mark.slow
def test_a_run_takes_them_once_and_keeps_them(folder, old, monkeypatch):
    """It continues where its source is gone, also before its first checkpoint."""
    shutil.copytree(folder / "old", folder / "gone")
    config = config_of(folder, folder / "gone")
    keep = initial_weights.keep

    def killed(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(initial_weights, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config, folder / "kept")
    monkeypatch.undo()
    shutil.rmtree(folder / "gone")
    assert run(config, folder / "kept")["steps"] == 2
    again = run(config_of(folder, folder / "old"), folder / "again")
    assert again["steps"] == 2
    runs.assert_equal_checkpoints(folder / "kept", folder / "again")


def refusal(folder, source, **more):
    with pytest.raises(errors.UserError) as caught:
        run(config_of(folder, source, **more), folder / "refused")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_fits_nothing_is_refused_with_names_and_shapes(folder):
    line = refusal(folder, folder / "old", **{"model.name": "resnet20_he"})
    assert line.endswith("name the weights of such a model, or leave it at ''.")
    assert "nothing fits 'resnet20_he': the shapes differ: conv2d/kernel [3, 3" in line


def test_what_is_no_source_is_refused(folder, tmp_path):
    line = refusal(folder, tmp_path / "none.keras")
    assert "`model.initial_weights` is" in line and "not there" in line
    line = refusal(folder, "gs:/bucket/x")
    assert "gs:/bucket/x" in line
    (tmp_path / "values.npz").write_bytes(b"PK\x03\x04")
    assert "export the run again" in refusal(folder, tmp_path)
    assert "name a run's workdir" in refusal(folder, "resnet20")


def test_a_run_without_a_checkpoint_is_refused_as_one(folder, tmp_path):
    """Whether it has not begun to save, or has no weights any more."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "begun").mkdir()
    shutil.copy(folder / "old" / "inputs.json", tmp_path / "begun")
    shutil.copy(folder / "old" / "config.json", tmp_path / "begun")
    for name in ("run", "begun"):
        assert "no latest checkpoint: train it" in refusal(folder, tmp_path / name)
        more = {"model.initial_checkpoint": "best"}
        assert "no best checkpoint" in refusal(folder, tmp_path / name, **more)


def test_what_is_in_a_workdir_is_refused_with_the_workdir(folder):
    inside = folder / "old" / "checkpoints"
    (index,) = inside.glob("ckpt-*.index")
    for path in (inside, index, index.with_suffix("")):
        assert f"name that, '{folder / 'old'}'" in refusal(folder, path)


def test_which_checkpoint_is_refused_of_what_has_none(folder):
    more = {"model.initial_checkpoint": "best"}
    line = refusal(folder, folder / "small.keras", **more)
    assert line.startswith("`model.initial_checkpoint` is 'best'")


@pytest.mark.parametrize("kind", ["data-00000-of-00001", "index"])
def test_a_checkpoint_that_is_cut_off_is_refused(folder, tmp_path, kind):
    shutil.copytree(folder / "old", tmp_path / "cut")
    for file in (tmp_path / "cut" / "checkpoints").glob(f"ckpt-*.{kind}"):
        file.write_bytes(file.read_bytes()[:100])
    assert "copy it again from where it" in refusal(folder, tmp_path / "cut")


@pytest.mark.parametrize("frozen", ["body", "conv2d*"])
def test_frozen_layers_are_taken_beside_a_head_of_other_classes(
    folder, old, caplog, frozen
):
    """They are most of what fine-tuning takes."""
    caplog.set_level("INFO", "absl")
    config = config_of(folder, folder / "old", **{"model.frozen": frozen})
    name = f"frozen {frozen.strip('*')}"
    with pytest.raises(signals.Interrupted):
        run(config, folder / name, StopAfter(0))
    (line,) = (m for m in caplog.messages if m.startswith("Weights of "))
    assert "(240 of 267 parameters)" in line
    assert any(" of 6 variables train." in m for m in caplog.messages)
    path = checkpoint_folder.paths(str(folder / name / "checkpoints"))[-1]
    values = checkpoint_values.evaluated(path)
    np.testing.assert_array_equal(values["conv2d/kernel"], old["conv2d/kernel"])


@pytest.mark.slow
def test_another_range_of_images_is_said(folder, caplog):
    more = {"model.input_range": "symmetric"}
    with pytest.raises(signals.Interrupted):
        run(config_of(folder, folder / "old", **more), folder / "range", StopAfter(0))
    assert any("'unit', and this run feeds 'symmetric'" in m for m in caplog.messages)
