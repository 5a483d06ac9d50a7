"""What is compiled: the programs that `main` would run with a config."""

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.input import pipeline
from sam_pod.data.prepare import shards
from sam_pod.data.sources import digits
from sam_pod.data.stored import manifest
from sam_pod.lowering import private
from sam_pod.preflight import subject
from sam_pod.run import build
from tests import runs

SHAPE = subject.Shape((8, 8, 3), 4, 100)


def text(program):
    return private.XLA_COMPUTATION.get()(program.hlo).as_hlo_text()


def test_the_shape_of_data_comes_from_the_prepared_folder(tmp_path):
    config = runs.small_config(tmp_path)
    found = subject.build(config).manifest
    assert found.image_shape == (8, 8, 3) and len(found.classes) == 4
    assert found.mean == manifest.read(config.data.dir).mean  # The real one.


@pytest.mark.parametrize("name", subject.KNOWN)
def test_known_data_need_not_be_here(tmp_path, name):
    config = runs.small_config(tmp_path)
    config.data.name, config.data.dir = name, "gs://elsewhere/data"
    found, shape = subject.build(config).manifest, subject.KNOWN[name]
    assert found.image_shape == shape.image_shape
    assert len(found.classes) == shape.num_classes
    assert found.num_examples("train") == shape.train_examples


def test_what_is_known_of_data_is_what_preparing_them_gives(tmp_path):
    shards.write(digits.read(), str(tmp_path), num_shards=1)
    found = manifest.read(str(tmp_path))
    shape = subject.KNOWN["digits"]
    assert (found.image_shape, len(found.classes)) == (
        shape.image_shape,
        shape.num_classes,
    )
    assert found.num_examples("train") == shape.train_examples


def test_a_given_shape_wins_and_an_unknown_one_is_refused(tmp_path):
    config = runs.small_config(tmp_path)
    config.data.name, config.data.dir = "mine", "/nowhere"
    found = subject.build(config, SHAPE).manifest
    assert (found.image_shape, len(found.classes)) == ((8, 8, 3), 4)
    with pytest.raises(errors.UserError, match="give --image_shape=H,W,C"):
        subject.build(config)


def test_its_recipe_is_the_one_that_main_builds(tmp_path):
    config = runs.small_config(
        tmp_path, **{"sam.sync": "2", "sam.rho": 0.07, "schedule.name": "cosine"}
    )
    read = manifest.read(config.data.dir)
    splits = pipeline.splits(config.data.dir, read, config.data.validation_examples)
    steps = pipeline.steps_per_epoch(splits["train"], 16)
    expected = build.build_recipe(config, read, steps, 4)
    found = subject.build(config).recipe(4)
    for field in ("variant", "groups", "weight_decay", "seed", "micro_batches"):
        assert getattr(found, field) == getattr(expected, field), field
    assert found.rho(None, None) == expected.rho(None, None) == 0.07
    assert found.optimizer.slot_names == expected.optimizer.slot_names
    for step in (0, 3, 17):  # The number of steps of an epoch is in it.
        mine, other = (r.schedule(np.int64(step), 1.0) for r in (found, expected))
        assert float(mine) == float(other)


def test_it_has_the_step_the_same_without_sam_and_the_evaluation(tmp_path):
    config = runs.small_config(tmp_path, **{"sam.micro_batches": 2})
    found = subject.build(config).programs(4)
    assert list(found) == ["SAM step", "plain step", "evaluation"]
    for program in found.values():
        images = next(t for t in program.inputs if t.role == "images")
        assert images.shape == (4, 8, 8, 3) and program.num_replicas == 4
    passes = {name: text(p).count(" convolution(") for name, p in found.items()}
    # Two gradients of two halves; one of the whole; one forward pass.
    assert passes["SAM step"] >= 3 * passes["plain step"] > passes["evaluation"] > 0
    config.sam.rho = 0.0
    assert list(subject.build(config).programs(4)) == ["plain step", "evaluation"]


def test_another_batch_may_be_asked_for_and_must_divide(tmp_path):
    found = subject.build(runs.small_config(tmp_path))
    assert found.per_replica_batch_size(4) == 4
    with pytest.raises(errors.UserError, match=r"\(3\): take 15 or 18"):
        found.per_replica_batch_size(3)
    program = found.programs(4, 6)["evaluation"]
    assert [t.shape[0] for t in program.inputs if t.role == "images"] == [6]
