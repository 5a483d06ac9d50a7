"""The time, by a graph operation.

`tf.timestamp` refuses to run where operations have to be deterministic, which a run's
are by default. The system's file says the seconds since it was started.
"""

import os

import tensorflow as tf

UPTIME = "/proc/uptime"
RESOLUTION = 0.01  # Seconds.


@tf.autograph.experimental.do_not_convert
def seconds() -> tf.Tensor:
    """Return the seconds since this machine was started, float64; 0 where unknown."""
    if not os.path.exists(UPTIME):
        return tf.constant(0.0, tf.float64)
    # Not `tf.io.read_file`, which takes it for empty: such files have no size.
    line = tf.data.TextLineDataset(UPTIME, buffer_size=64).get_single_element()
    return tf.strings.to_number(tf.strings.regex_replace(line, " .*", ""), tf.float64)
