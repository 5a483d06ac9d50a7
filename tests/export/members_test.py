"""A run of a member with a memory and two kinds of steps, exported on its way."""

import json

import numpy as np
import pytest

from sam_pod.export import folder as export
from sam_pod.process import signals
from tests import fixtures, runs, training
from tests.export import elsewhere, trained


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return (config, workdir, manifest's folder): LookSAM from the fifth step on."""
    folder = tmp_path_factory.mktemp("looksam")
    model = folder / "model.keras"
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    config = runs.small_config(
        folder,
        **{
            "num_epochs": 4,  # 5 steps each.
            "model.name": str(model),
            "data.augment": "",
            "optimizer.name": "sgd",
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
            "sam.variant": "looksam",
            "sam.looksam.k": 3,
            "sam.start": "1",
        },
    )
    with pytest.raises(signals.Interrupted):
        training.run(config, folder / "run", training.StopAfter(4))
    export.write(str(folder / "run"), str(folder / "out"))
    return config, folder / "run", folder / "out"


@pytest.mark.slow
def test_every_program_and_all_of_the_memory_are_there(exported):
    _, workdir, out = exported
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["not_made"] == {}
    assert list(manifest["programs"]) == [
        "inference",
        "train_step",
        "train_step_between",
        "train_step_plain",
    ]
    assert manifest["train_steps"] == {
        "start": 5,
        "end": None,
        "every": 1,
        "period": 3,
        "acts": "train_step",
        "between": "train_step_between",
        "otherwise": "train_step_plain",
    }
    stored = trained.values(workdir)
    values = np.load(out / "values.npz")
    for name in ("train_step", "train_step_between", "train_step_plain"):
        program = manifest["programs"][name]
        assert program["metrics"][-1] == "train/new_part_norm"
        memory = [t for t in program["inputs"] if t["role"] == "memory"]
        kept = [t for t in memory if t["name"] != "filled"]
        assert len(memory) == 1 + len(kept) == 6
        for i, tensor in enumerate(kept):
            np.testing.assert_array_equal(
                values[tensor["value"]], stored[f"memory/direction/{i}"]
            )


@pytest.mark.slow
def test_jax_takes_the_steps_as_the_manifest_says_and_is_where_the_trainer_is(
    exported,
):
    config, workdir, out = exported
    manifest = json.loads((out / "manifest.json").read_text())
    start, when = manifest["checkpoint"]["step"], manifest["train_steps"]
    assert start < 15
    programs = {
        name: elsewhere.Program(out, name)
        for name in set(when.values())
        if isinstance(name, str)
    }
    first = programs["train_step"]
    state = first.put(first.values())
    for step, (images, labels) in enumerate(
        trained.batches(config, start, 20 - start), start
    ):
        name = when["otherwise"]
        if step >= when["start"]:
            is_first = (step - when["start"]) % when["period"] == 0
            name = when["acts"] if is_first else when["between"]
        program = programs[name]
        state = program([*state, *program.put([images, labels])])[:-1]
    training.run(config, workdir)
    expected = trained.values(workdir)
    outputs = first.interface["outputs"][:-1]
    mine = [
        np.asarray(copies[0])
        for copies, tensor in zip(state, outputs, strict=True)
        if tensor["role"] == "weights"
    ]
    for i, weight in enumerate(mine):
        np.testing.assert_allclose(weight, expected[f"weights/{i}"], atol=1e-5)
