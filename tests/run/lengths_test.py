"""How long a run was to last before."""

import pytest

from sam_pod import errors
from sam_pod.run import lengths


def test_lengths_are_added_and_read_in_their_order(tmp_path):
    workdir = str(tmp_path)
    assert lengths.of(workdir) == {"lengths": []}
    both = [lengths.Before(2, 36, 72.0), lengths.Before(3, 50, 100.0)]
    for length in (both[0], *both):  # Once more, as after a kill.
        lengths.add(workdir, length)
    assert lengths.read(workdir) == both
    assert lengths.of(workdir)["lengths"][1] == {
        "num_epochs": 3,
        "step": 50,
        "gradients": 100.0,
    }


def test_a_length_by_which_no_step_was_taken_is_not_noted(tmp_path):
    def noted(num_epochs, step, now):
        lengths.add(str(tmp_path), lengths.Before(num_epochs, step, 2.0 * step))
        lengths.settle(str(tmp_path), now)
        return [each.num_epochs for each in lengths.read(str(tmp_path))]

    assert noted(4, 36, now=8) == [4]
    assert noted(8, 36, now=6) == [4]
    assert noted(6, 36, now=4) == []  # All steps are of a run of 4 epochs.
    assert noted(4, 36, now=8) == [4]
    assert noted(8, 50, now=4) == [4, 8]


@pytest.mark.parametrize(
    "text", ["[1]", "{}", '{"before": 3}', '{"before": [{"step": "a"}]}', "{"]
)
def test_notes_that_cannot_be_read_are_one_line(text, tmp_path):
    (tmp_path / "lengths.json").write_text(text)
    with pytest.raises(errors.UserError, match=r"lengths\.json cannot be read"):
        lengths.read(str(tmp_path))
