"""The order of what a run does: when it saves, and what waits for its first step."""

import logging

import pytest

from sam_pod.data.input import pipeline
from sam_pod.run import checkpoints
from tests import runs, training


class Messages(logging.Handler):
    """The lines of the log, as they come."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Return (workdir, steps of the saves, lines of the log) of a run of one epoch.

    It saves whenever time has passed, and an evaluation's input says that it is built.
    """
    folder, saved, messages = tmp_path_factory.mktemp("watched"), [], Messages()
    save, evaluation = checkpoints.Checkpoints.save, pipeline.evaluation
    logger = logging.getLogger("absl")

    def noted(self):
        saved.append(int(self._state.step.numpy()))
        save(self)

    def build(*arguments, **keywords):
        logger.info("builds the input of an evaluation")
        return evaluation(*arguments, **keywords)

    config = runs.small_config(
        folder, num_epochs=1, **{"checkpoint.every_seconds": 1e-9}
    )
    level = logger.level
    logger.addHandler(messages)
    logger.setLevel("INFO")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", noted)
        patch.setattr(pipeline, "evaluation", build)
        training.run(config, folder / "run")
    logger.setLevel(level)
    logger.removeHandler(messages)
    return folder / "run", saved, messages.lines


@pytest.mark.slow
def test_saves_by_wall_time(watched):
    workdir, saved, _ = watched
    # After the loops of 1, 1 and 3 steps; after the validation, as always, and since
    # time has passed.
    assert saved == [1, 2, 5, 5, 5]
    assert not (workdir / "checkpoints" / "partial").exists()


def test_the_first_step_comes_before_what_it_does_not_need(watched):
    """That is: TensorBoard's writer, the run's description, evaluation's input."""
    _, _, lines = watched
    order = [
        next(i for i, line in enumerate(lines) if line.startswith(start))
        for start in (
            "Compiling the step",
            "Compiled the step",
            "Trainable parameters",
            "builds the input of an evaluation",
            "step 5  validation",
        )
    ]
    assert order == sorted(order)
