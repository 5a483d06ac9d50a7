"""A TPU's trace is recognized among others, and from what runs at once."""

import pytest
import tensorflow as tf

from sam_pod.lowering import made_up_tpu
from sam_pod.machines import tracing


@pytest.mark.parametrize("is_tpu", [True, False])
def test_only_a_trace_under_a_tpu_strategy_is_for_a_tpu(is_tpu):
    strategy = made_up_tpu.strategy(2) if is_tpu else tf.distribute.get_strategy()
    found = []
    with strategy.scope():
        assert not tracing.is_for_a_tpu()
        tf.function(
            lambda: found.append(tracing.is_for_a_tpu()), autograph=False
        ).get_concrete_function()
    assert found == [is_tpu]
