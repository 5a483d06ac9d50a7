"""How long a run was to last before."""

import pytest

from sam_pod import errors
from sam_pod.run import lengths


def test_lengths_are_added_and_read_in_their_order(tmp_path):
    workdir = str(tmp_path)
    assert lengths.of(workdir) == {"lengths": []}
    both = [lengths.Before(2, 36, 72.0), lengths.Before(3, 50, 100.0)]
    for length in (both[0], *both):  # Once more, as after a kill.
        lengths.add(workdir, length, 4)
    assert lengths.read(workdir) == both
    assert lengths.of(workdir)["lengths"][1] == {
        "num_epochs": 3,
        "step": 50,
        "gradients": 100.0,
    }


def test_a_length_by_which_no_step_was_taken_is_not_noted(tmp_path):
    workdir = str(tmp_path)
    lengths.add(workdir, lengths.Before(4, 36, 72.0), 8)
    lengths.add(workdir, lengths.Before(8, 36, 72.0), 6)
    assert [each.num_epochs for each in lengths.read(workdir)] == [4]
    lengths.add(workdir, lengths.Before(6, 36, 72.0), 4)
    assert lengths.read(workdir) == []  # All steps are of a run of 4 epochs.
    lengths.add(workdir, lengths.Before(4, 36, 72.0), 8)
    lengths.add(workdir, lengths.Before(8, 50, 100.0), 4)
    assert [each.num_epochs for each in lengths.read(workdir)] == [4, 8]


@pytest.mark.parametrize(
    "text", ["[1]", "{}", '{"before": 3}', '{"before": [{"step": "a"}]}', "{"]
)
def test_notes_that_cannot_be_read_are_one_line(text, tmp_path):
    (tmp_path / "lengths.json").write_text(text)
    with pytest.raises(errors.UserError, match=r"lengths\.json cannot be read"):
        lengths.read(str(tmp_path))
