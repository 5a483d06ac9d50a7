"""Learning rates against closed forms."""

import math

import keras
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.step import schedules


def build(name, warmup=0.0):
    config = config_lib.defaults()
    config.num_epochs = 10
    config.optimizer.learning_rate = 0.4
    config.schedule.name = name
    config.schedule.warmup_epochs = warmup
    schedule = schedules.build(config, steps_per_epoch=20)
    return lambda step, scale=1.0: float(
        schedule(tf.constant(step, tf.int64), tf.constant(scale))
    )


def test_constant_and_plateau():
    assert build("constant")(123, 0.5) == pytest.approx(0.4)
    assert build("plateau")(123, 0.25) == pytest.approx(0.1)


@pytest.mark.parametrize("step", [0, 1, 50, 100, 199, 200, 250])
def test_cosine(step):
    expected = 0.2 * (1 + math.cos(math.pi * min(step / 200, 1)))
    assert build("cosine")(step) == pytest.approx(expected, abs=1e-7)


def test_warmup_rises_linearly_and_the_cosine_follows():
    rate = build("cosine", warmup=2.0)
    assert rate(0) == pytest.approx(0.4 / 40)
    assert rate(39) == pytest.approx(0.4)
    assert rate(40) == pytest.approx(0.4)
    middle = 40 + 80
    assert rate(middle) == pytest.approx(0.2, abs=1e-6)


STEPS = [0, 1, 19, 20, 39, 40, 59, 60, 61, 119, 120, 160, 199, 200, 260]


def configured(warmup=0.0, **values):
    config = config_lib.defaults()
    config.num_epochs = 10
    config.optimizer.learning_rate = 0.4
    config.schedule.update({"warmup_epochs": warmup, **values})
    rules.validate(config)
    schedule = schedules.build(config, steps_per_epoch=20)
    return lambda step: float(schedule(tf.constant(step, tf.int64), tf.constant(1.0)))


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_is_keras(staircase):
    theirs = keras.optimizers.schedules.ExponentialDecay(0.4, 48, 0.97, staircase)
    values = {"decay_factor": 0.97, "decay_epochs": 2.4, "staircase": staircase}
    for warmup in (0, 2):
        ours = configured(warmup, name="exponential", **values)
        for step in STEPS:
            if step >= warmup * 20:
                expected = float(theirs(step - warmup * 20))
                assert ours(step) == pytest.approx(expected, rel=2e-6)


def test_step_is_keras_piecewise_but_for_the_step_at_a_boundary():
    """Keras' bounds are the last steps before; an epoch here begins with its rate."""
    for boundaries in ("30%,60%,80%", "3, 6,80%"):
        ours = configured(name="step", boundaries=boundaries, decay_factor=0.2)
        theirs = keras.optimizers.schedules.PiecewiseConstantDecay(
            [59, 119, 159], [0.4 * 0.2**i for i in range(4)]
        )
        for step in STEPS:
            assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-6)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_polynomial_is_keras(power):
    ours = configured(1, name="polynomial", end=0.01, power=power)
    theirs = keras.optimizers.schedules.PolynomialDecay(0.4, 180, 0.004, power)
    for step in STEPS[3:]:
        expected = float(theirs(step - 20))
        assert ours(step) == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    "values, reason",
    [
        (
            {"name": "step"},
            "`schedule.boundaries` is ''; it must be a number of epochs",
        ),
        ({"name": "step", "boundaries": "6,3"}, "'6,3'; they must rise, above 0"),
        ({"name": "step", "boundaries": "3,10"}, "below the 10 of `num_epochs`"),
        ({"name": "step", "boundaries": "0%,50%"}, "must rise, above 0"),
        ({"boundaries": "3"}, "`schedule.name` 'step' reads, and not 'cosine'; leave"),
        ({"decay_factor": 0.2}, "'step' and 'exponential' read, and not 'cosine'"),
        ({"name": "exponential", "power": 2.0}, "'polynomial' reads, and not"),
        ({"name": "step", "boundaries": "3", "decay_factor": 1.2}, r"in \(0, 1\]"),
    ],
)
def test_what_is_no_schedule_is_refused(values, reason):
    with pytest.raises(errors.UserError, match=reason):
        configured(**values)


def test_unknown_name():
    with pytest.raises(errors.UserError, match=r"schedule\.name.*'cosine'\?"):
        build("cosin")
