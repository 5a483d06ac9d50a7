"""What is being traced, where that decides how something is best computed."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def is_for_a_tpu() -> bool:
    """Return whether this is the trace of a step that a TPU will run."""
    strategy = tf.distribute.get_strategy()
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return is_tpu and not tf.executing_eagerly()


def is_for_xla() -> bool:
    """Return whether XLA compiles what is being traced, for whatever device."""
    if is_for_a_tpu():
        return True
    if tf.executing_eagerly():
        return False
    # There is no public way to ask; seen in TensorFlow 2.16.2.
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def barrier(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return tensors that XLA takes for others, there when all of them are.

    Their gradients pass. Nothing but XLA has this operation.
    """
    # TensorFlow has no public name for it; seen in TensorFlow 2.16.2.
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    @tf.custom_gradient
    def pass_on(*tensors: tf.Tensor) -> tuple[list[tf.Tensor], Callable]:
        return gen_xla_ops.xla_optimization_barrier(input=list(tensors)), (
            lambda *upstream: list(upstream)
        )

    return list(pass_on(*tensors))
