#!/usr/bin/env bash
# A strided slice of images on a CPU takes many times what the same pixels cost otherwise.
# x[:, ::2, ::2] is how the input of a strided 1 x 1 convolution is cut before it, in
# ResNets' shortcuts for example. TensorFlow's kernel of it moves the elements one by one:
# for a tensor of 128 x 32 x 32 x 64 it took 26 ms of one thread, in bfloat16 and in
# float32 alike, where a maximum pooling of windows of one pixel, and a reshape that makes
# axes of their own of both strides and takes index 0 of them, took 1.4 to 2.1 ms, and the
# whole strided convolution to 128 channels 4.8 and 9.3 ms. All four see the same pixels.
# So the slice alone can cost more than the layer that it is cut for.
# Seen with tensorflow-cpu 2.16.2. Exits with 0 while the slice takes at least four times
# the CPU time of the pooling, in both types, and gives the same values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.16.2 'numpy<2' 'setuptools<81'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'EOF'
import time

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def milliseconds(function, x):
    """Return the least CPU time of several calls."""
    function(x)
    times = []
    for _ in range(15):
        begun = time.process_time()
        function(x)
        times.append(time.process_time() - begun)
    return 1e3 * min(times)


def parted(x):
    batch, height, width, channels = x.shape
    apart = tf.reshape(x, [batch, height // 2, 2, width // 2, 2, channels])
    return apart[:, :, 0, :, 0]


WAYS = {
    "x[:, ::2, ::2]": lambda x: x[:, ::2, ::2],
    "pooling of one pixel": lambda x: tf.nn.max_pool2d(x, 1, 2, "VALID"),
    "reshape, then index 0": parted,
}
for dtype in (tf.bfloat16, tf.float32):
    x = tf.cast(tf.random.normal((128, 32, 32, 64)), dtype)
    functions = {k: tf.function(f, autograph=False) for k, f in WAYS.items()}
    results = [tf.cast(f(x), tf.float32).numpy() for f in functions.values()]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    took = {name: milliseconds(f, x) for name, f in functions.items()}
    print(dtype.name, {name: f"{ms:.1f} ms" for name, ms in took.items()})
    slice_ms, pooling_ms, _ = took.values()
    assert slice_ms > 4 * pooling_ms, took
EOF
