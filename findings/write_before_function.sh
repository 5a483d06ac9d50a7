#!/usr/bin/env bash
# A tf.function does not wait for an eager write to a variable of another machine. After
# experimental_connect_to_cluster, `variable.assign(value)` returns before the machine has
# taken it; a further eager read comes after it, but a tf.function that reads the variable
# may run before it and return the old value, without an error. So a checkpoint that is
# restored, or weights that are assigned, may be missing on one host of a pod in the first
# steps or in the evaluation that follow, and the replicas differ. An iterator over data that
# are still on their way is not initialized for a function that was traced before
# (FailedPreconditionError). At the end of tf.experimental.async_scope() all machines have
# what was done in it.
# Seen with tensorflow-cpu 2.21.0 and 2.16.2: most of ten functions read the old value of
# 36 MB on a server on loopback, and most of ten find no iterator. Exits with 0 while at
# least one of ten does each, and none of ten eager reads, nor of ten functions behind
# async_scope.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat > "$folder/reads.py" <<'EOF'
import contextlib
import socket
import subprocess
import sys

import numpy as np
import tensorflow as tf

if len(sys.argv) > 1:  # A server of one machine.
    cluster = tf.train.ClusterSpec({"worker": [sys.argv[1]]})
    tf.distribute.Server(cluster, job_name="worker", task_index=0).join()

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{s.getsockname()[1]}"
server = subprocess.Popen([sys.executable, __file__, address])
try:
    tf.config.experimental_connect_to_cluster(
        tf.train.ClusterSpec({"worker": [address]}),
        job_name="coordinator",
        make_master_device_default=False,
    )
    there = "/job:worker/replica:0/task:0/device:CPU:0"
    with tf.device(there):
        variable = tf.Variable(tf.zeros((3000, 3000)))

    @tf.function
    def by_function():
        with tf.device(there):
            return variable[-1, -1] + 0.0

    def eagerly():
        return variable[-1, -1]

    def old(read, scope):
        """Return how many of ten reads miss the write just before them."""
        missed = 0
        for number in range(1, 11):
            with scope(), tf.device(there):
                variable.assign(np.full((3000, 3000), number, np.float32))
            missed += float(read()) != number
            float(eagerly())
        return missed

    @tf.function(reduce_retracing=True)
    def first(iterator):
        with tf.device(there):
            return next(iterator)[0] + 0.0

    def missing(scope):
        """Return how many of ten functions do not find the iterator made before."""
        missed = 0
        for number in range(11):
            with scope(), tf.device(there):
                data = np.full((3000, 3000), number, np.float32)
                iterator = iter(tf.data.Dataset.from_tensor_slices(data))
            try:
                assert float(first(iterator)) == number
            except tf.errors.FailedPreconditionError:
                missed += number > 0  # The first call may trace.
        return missed

    by_function()
    nothing, wait = contextlib.nullcontext, tf.experimental.async_scope
    found = old(by_function, nothing), old(eagerly, nothing), old(by_function, wait)
    found += missing(nothing), missing(wait)
finally:
    server.kill()
print(tf.__version__, *found, flush=True)
assert found[0] >= 1 and found[3] >= 1, found
assert found[1] == found[2] == found[4] == 0, found
EOF
for version in 2.21.0 2.16.2; do
  "$folder/venv/bin/pip" install --quiet "tensorflow-cpu==$version"
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/reads.py"
done
