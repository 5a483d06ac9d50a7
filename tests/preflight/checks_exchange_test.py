"""The exchange of a real step, held against what it declares: to the byte."""

import dataclasses

import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import groups, replicas
from sam_pod.preflight import checks
from sam_pod.sam import variant
from sam_pod.step import exchange
from tests import fixtures
from tests.preflight import steps
from tests.preflight.checks_test import failed_before_compilation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sync", "parts"),
    [("global", 1), ("replica", 1), ("norm", 2), ("2", 2)],
)
def test_a_gradient_that_is_reduced_twice_is_a_needless_collective(sync, parts):
    sound = steps.lowered(steps.small(sync=sync, micro_batches=parts))
    assert failed_before_compilation(sound) == []
    twice = steps.lowered(steps.reduces_twice(sync, parts))
    (check,) = failed_before_compilation(twice)
    assert check.name == "no needless collective"
    assert "; the step declares " in check.detail


def test_a_gradient_that_is_not_reduced_is_missed(monkeypatch):
    group_mean = replicas.group_mean
    monkeypatch.setattr(
        replicas, "group_mean", lambda t, n: t if n == 4 else group_mean(t, n)
    )
    (check,) = failed_before_compilation(steps.lowered(steps.small(sync="2")))
    assert check.detail == (
        "1.00 gradients among 2; the step declares 1 among 4, 1 among 2 "
        "(descent: 0 bytes among 4, not 564)"
    )


def test_what_is_missed_may_be_far_smaller_than_a_gradient(monkeypatch):
    """SAM-ON ascends on the scales and offsets of normalizations alone."""
    net = fixtures.small_model()
    recipe = fixtures.small_recipe(net, variant=sam.sam_on.build(net.roles()))
    assert failed_before_compilation(steps.lowered(recipe)) == []
    mean = replicas.group_mean
    monkeypatch.setattr(
        replicas, "group_mean", lambda t, n: t if len(t) == 1 else mean(t, n)
    )
    (check,) = failed_before_compilation(steps.lowered(recipe))
    assert "(ascent: 0 bytes among 4, not 32)" in check.detail


@pytest.mark.parametrize(
    ("scope", "detail"),
    [("ascent", "ascent: 552 bytes among 4, not 532"), ("", "elsewhere: 20 bytes")],
)
def test_one_bias_that_is_reduced_twice_is_needless(monkeypatch, scope, detail):
    mean = replicas.group_mean

    def twice(tensors, size):
        found = mean(tensors, size)
        if not isinstance(found, list):  # The descent's bucket.
            return found
        with tf.name_scope(f"{scope}/" if scope else "another/"):
            (*others, bias) = found[0]
            return [[*others, mean([bias], size)[0]]]

    net = fixtures.small_model(norm=False)  # So that no statistics may be meant.
    monkeypatch.setattr(replicas, "group_mean", twice)
    (check,) = failed_before_compilation(steps.lowered(fixtures.small_recipe(net)))
    assert detail in check.detail


def test_one_mode_s_collectives_are_not_another_s():
    measured = steps.lowered(steps.small(sync="global"))
    for other in (*(steps.small(sync=s) for s in ("replica", "norm", "2")),):
        declared = exchange.plan(other.variant, other.groups, 1, 4)
        program = dataclasses.replace(measured.program, exchanges=declared)
        wrong = dataclasses.replace(measured, program=program)
        assert not checks.collectives(wrong).is_passed
    declared = exchange.plan(variant.PLAIN, groups.Groups(), 1, 4)
    program = dataclasses.replace(measured.program, exchanges=declared)
    wrong = dataclasses.replace(measured, program=program)
    assert not checks.collectives(wrong).is_passed
