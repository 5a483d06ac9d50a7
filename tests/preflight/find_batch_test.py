"""The largest batch that fits, against memories that are known in closed form."""

import pytest

from sam_pod import errors
from sam_pod.preflight import find_batch


def search(needs, start, unit=1):
    """Return (fits, fails, the batches that were compiled)."""
    tried = []

    def counted(batch):
        tried.append(batch)
        assert batch % unit == 0 and batch > 0
        share = needs(batch)
        # As job.py reads the compiler: it says no more than that it fits, or by how
        # much it does not.
        return share

    fits, fails = find_batch.largest(counted, start, unit, ceiling=10**9)
    assert len(set(tried)) == len(tried), "one batch was compiled twice"
    assert {fits, fails} <= {*tried}
    assert needs(fits) <= 1 < needs(fails)
    assert fits >= 0.9 * fails or fails - fits <= unit
    return fits, fails, tried


def linear(largest):
    return lambda batch: batch / largest


def with_offset(largest, share):
    """Return a memory whose weights take `share` of it, whatever the batch."""
    return lambda batch: share + (1 - share) * batch / largest


def in_steps(largest, width):
    """Return a memory that is padded to so many examples."""
    return lambda batch: -(-batch // width) * width / largest


@pytest.mark.parametrize("start", [1, 32, 999, 1000, 1001, 5000, 100_000])
@pytest.mark.parametrize(
    "needs",
    [
        linear(1000),
        with_offset(1000, 0.5),
        with_offset(1000, 0.95),
        in_steps(1000, 8),
        in_steps(1024, 256),
        lambda batch: (batch / 1000) ** 2,
        lambda batch: (batch / 1000) ** 0.5,
    ],
    ids=["linear", "half", "mostly weights", "by 8", "by 256", "square", "root"],
)
def test_it_is_found_to_a_tenth_in_a_few_compiles(needs, start):
    _, _, tried = search(needs, start)
    assert len(tried) <= (8 if 32 <= start <= 5000 else 12), tried


@pytest.mark.parametrize(("start", "compiles"), [(200, 3), (1000, 2), (32, 4)])
def test_where_memory_is_linear_it_takes_three_compiles(start, compiles):
    """Or one more where the first guess was far below."""
    fits, _, tried = search(linear(1000), start)
    assert len(tried) <= compiles
    assert 940 <= fits <= 1000


@pytest.mark.parametrize("start", [8, 128, 700, 1500, 5000, 20_000])
@pytest.mark.parametrize("saved", [1.05, 1.2, 1.5, 3.0])
def test_a_compiler_that_saves_memory_where_there_is_none_left(saved, start):
    """It computes again what it would keep, and reports failures whole or in part."""
    for told in (0.5, 1.0):

        def needs(batch, told=told):
            share = batch / 1000
            if share <= saved:
                return min(share, 0.93 + share / 1e3)
            return max(1.01, told * share)

        fits, _, tried = search(needs, start)
        assert 0.9 * 1000 * saved <= fits <= 1000 * saved
        assert len(tried) <= 12, tried


@pytest.mark.parametrize("share", [0.5, 0.7, 0.84, 0.86, 0.95])
@pytest.mark.parametrize("largest", [1200, 10_000, 10**6])
def test_memory_that_does_not_grow_any_more_takes_no_small_steps_for_ever(
    share, largest
):
    _, _, tried = search(
        lambda b: min(b / 1000, share) if b <= largest else 1.01, start=128
    )
    assert len(tried) <= 16, tried


def test_a_full_memory_below_one_that_is_not_slows_nothing_down():
    def needs(batch):
        if batch > 3000:
            return 1.01
        return batch / 1000 if batch <= 930 else 0.5

    _, _, tried = search(needs, start=900)
    assert len(tried) <= 11, tried


def test_only_multiples_of_the_unit_are_tried():
    fits, fails, _ = search(linear(1000), start=30, unit=64)
    assert (fits, fails) == (960, 1024)
    assert search(linear(100), start=30, unit=64)[:2] == (64, 128)


@pytest.mark.parametrize("start", [8, 600, 4096])
def test_what_no_epoch_could_fill_is_not_tried(start):
    tried = []

    def needs(batch):
        tried.append(batch)
        return batch / 1e6

    assert find_batch.largest(needs, start, 8, ceiling=603) == (600, None)
    assert max(tried) == 600 and len(tried) <= 4


def test_a_ceiling_that_does_not_fit_changes_nothing():
    fits, fails = find_batch.largest(linear(1000), 64, 1, ceiling=2000)
    assert 900 <= fits <= 1000 < fails <= 2000


def test_nothing_fits_is_one_line():
    for unit in (1, 4):
        with pytest.raises(errors.UserError) as caught:
            find_batch.largest(lambda batch: 1 + batch, 512, unit, ceiling=1024)
        assert str(caught.value).startswith(f"Not even {unit} example(s) a replica")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("largest", [1, 2, 3, 17])
def test_a_few_examples_are_counted_exactly(largest):
    fits, fails, _ = search(linear(largest), start=256)
    assert fits == largest or fits >= 0.9 * fails
    assert fails - fits == 1 or fits >= 0.9 * fails


def test_what_the_compiler_says_of_a_step_too_large_may_be_little():
    """For some failures it does not say how much was missing: only that it failed."""
    _, _, tried = search(lambda b: min(b / 1000, 1 + 1e-9), start=4096)
    assert len(tried) <= 16


def test_what_is_below_a_limit_may_not_grow_at_all():
    _, _, tried = search(lambda batch: 0.1 if batch <= 5000 else 2.0, start=64)
    assert len(tried) <= 12
