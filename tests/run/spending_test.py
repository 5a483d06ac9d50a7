"""The curve of a run: what each epoch has cost."""

import numpy as np
import pytest

from sam_pod import sam
from sam_pod.run import curve, lengths, pace, spending
from sam_pod.sam.variant import PLAIN
from sam_pod.step.cadence import ALWAYS, Cadence
from sam_pod.step.progress import Progress


def meter(folder, variant=PLAIN, cadence=ALWAYS):
    return spending.Meter(str(folder), variant, cadence, is_chief=True)


def record(epoch):
    loss = 1 / epoch
    return Progress(last_loss=loss, last_accuracy=0.5, validated_epochs=float(epoch))


@pytest.mark.parametrize(
    ("variant", "cadence", "expected"),
    [
        (PLAIN, ALWAYS, 20),
        (sam.sam.build(), ALWAYS, 40),
        (sam.sam.build(), Cadence(start=5, end=15), 30),
        (sam.sam.build(), Cadence(every=5), 24),
        (sam.looksam.build(k=5), ALWAYS, 24),
        (sam.esam.build(gamma=0.5), ALWAYS, 20 * (1 + 1 / 3 + 0.5)),
        (sam.msam.build(), ALWAYS, 20),
    ],
)
def test_a_member_spends_what_it_declares_on_the_steps_it_takes(
    variant, cadence, expected, tmp_path
):
    expected = pytest.approx(expected)
    whole = meter(tmp_path, variant, cadence)
    assert whole.total_gradients(20) == expected
    for epoch in (1, 2, 3, 4):
        whole.validated(record(epoch), 5 * epoch, 1.0)
    assert curve.read(str(tmp_path))[-1].gradients == expected
    assert meter(tmp_path, variant, cadence).total_gradients(20) == expected


def test_a_run_that_goes_on_writes_each_epoch_once(tmp_path):
    first = meter(tmp_path)
    for epoch in (1, 2, 3):
        first.validated(record(epoch), 5 * epoch, 10.0 * epoch)
    again = meter(tmp_path)  # From the checkpoint of epoch 1.
    again.validated(record(2), 10, 21.0)
    found = curve.read(str(tmp_path))
    assert [(p.epoch, p.seconds) for p in found] == [(1, 10.0), (2, 21.0)]


def test_epochs_that_a_run_goes_on_without_are_cut(tmp_path):
    """As where no epoch follows that would write the curve."""
    curve.cut(str(tmp_path), 0)
    assert not (tmp_path / "curve.csv").exists()
    first = meter(tmp_path)
    for epoch in (1, 2, 3):
        first.validated(record(epoch), 5 * epoch, 10.0 * epoch)
    curve.cut(str(tmp_path), 2)
    assert [p.epoch for p in curve.read(str(tmp_path))] == [1, 2]
    (tmp_path / "curve.csv").write_text("cut")
    curve.cut(str(tmp_path), 0)
    assert (tmp_path / "curve.csv").read_text() == "cut"


def test_the_wait_is_the_share_of_the_epochs_loops(tmp_path):
    own = meter(tmp_path)
    own.waited(pace.Ran(np.zeros([30, 1]), 10.0, 0.5))  # 3 s, of which 1.5 s.
    own.waited(pace.Ran(np.zeros([10, 1]), 10.0, 0.1))  # 1 s, of which 0.1 s.
    own.validated(record(1), 5, 1.0)
    own.validated(record(2), 10, 2.0)  # Without a loop that did not compile.
    assert [p.input_wait for p in curve.read(str(tmp_path))] == [0.4, 0.0]
    assert curve.mean_wait(own.points()) == 0.2


def test_a_curve_that_cannot_be_read_begins_again_and_says_so(tmp_path, caplog):
    for text in ("epoch,step\n1,2\n", "\0", ""):
        (tmp_path / curve.NAME).write_text(text)
        caplog.clear()
        meter(tmp_path).validated(record(3), 15, 3.0)
        assert [p.epoch for p in curve.read(str(tmp_path))] == [3]
        assert "cannot be read" in caplog.text
    text = (tmp_path / curve.NAME).read_text()
    (tmp_path / curve.NAME).write_text(text[:-20])
    with pytest.raises(ValueError):
        curve.read(str(tmp_path))


def test_what_was_spent_by_other_rules_stays_spent(tmp_path):
    """A window of the last half, noted after step 15; then it acts from step 20."""
    first = meter(tmp_path, sam.sam.build(), Cadence(start=10))
    first.validated(record(1), 10, 1.0)
    before = lengths.Before(3, step=15, gradients=first.total_gradients(15))
    lengths.add(str(tmp_path), before)
    longer = meter(tmp_path, sam.sam.build(), Cadence(start=20))
    assert longer.total_gradients(10) == 10
    longer.validated(record(2), 20, 2.0)
    assert curve.read(str(tmp_path))[-1].gradients == 10 + 2 * 5 + 5
    assert longer.total_gradients(25) == 10 + 2 * 5 + 5 + 2 * 5


def test_workers_that_are_not_the_chief_write_nothing(tmp_path):
    other = spending.Meter(str(tmp_path), PLAIN, ALWAYS, is_chief=False)
    other.validated(record(1), 5, 1.0)
    assert not list(tmp_path.iterdir())
