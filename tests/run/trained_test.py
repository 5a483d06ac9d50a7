"""A finished run, read again: which checkpoint it is, and what its test found."""

import json

import pytest

from sam_pod.config import keys
from sam_pod.run import trained

TESTED = {
    **{
        "test_accuracy": 0.9,
        "test_loss": 1.0,
        "steps": 30,
        "epochs": 6,
        "best_epoch": 4,
    },
    "test_with": {"last": {"accuracy": 0.8}, "best": {"accuracy": 0.9}},
}
OF_LAST = {**TESTED, "test_accuracy": 0.8}  # As restore_best_weights=False has it.
SAME = {**TESTED, "best_epoch": 6}
OF_BEST = "`test_accuracy` in result.json, 0.9000, is of --which=best."
OF_LATEST = "`test_accuracy` in result.json, 0.8000, is of --which=latest."


@pytest.mark.parametrize(
    ("which", "step", "result", "expected"),
    [
        ("latest", 30, TESTED, f": test accuracy 0.8000. {OF_BEST}"),
        ("best", 20, TESTED, ": test accuracy 0.9000."),
        ("latest", 30, OF_LAST, ": test accuracy 0.8000."),
        ("best", 20, OF_LAST, f": test accuracy 0.9000. {OF_LATEST}"),
        ("latest", 30, SAME, ": test accuracy 0.8000."),
        # Trained on since, and not tested again; or never tested; or not with these.
        ("latest", 35, TESTED, "; result.json has no test of it."),
        ("best", 35, TESTED, "; result.json has no test of it."),
        ("latest", 30, None, "; result.json has no test of it."),
        ("best", 20, {**TESTED, "test_with": {}}, "; result.json has no test of it."),
    ],
)
def test_a_line_says_which_checkpoint_it_is_and_its_test(
    tmp_path, which, step, result, expected
):
    config = keys.defaults()
    config.early_stopping.restore_best_weights = result is not OF_LAST
    if result:
        (tmp_path / "result.json").write_text(json.dumps(result))
    checkpoint = trained.Checkpoint(which, f"ckpt-{step}-9", step, None)
    run = trained.Trained(config, config, None, None, {}, checkpoint)
    words = f"The {which} checkpoint is ckpt-{step}-9{expected}"
    assert trained.in_words(str(tmp_path), run) == words
