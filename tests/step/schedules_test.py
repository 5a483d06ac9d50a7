"""Learning rates against closed forms."""

import math

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
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


def test_unknown_name():
    with pytest.raises(errors.UserError, match=r"schedule\.name.*'cosine'\?"):
        build("cosin")
