#!/usr/bin/env bash
# Between workers, ReplicaContext.all_reduce refuses the value of a variable. Inside a
# tf.function, under MultiWorkerMirroredStrategy with one device a worker, what
# tf.convert_to_tensor reads from a variable has no device yet, and all_reduce takes its
# destination from there: "ValueError: destinations can not be empty", at the trace. One
# operation between the two is enough (tf.identity, or the arithmetic that most steps have),
# so only what sends state as it is meets it, such as a sum that replicas have gathered.
# MirroredStrategy over two devices of one process takes the same function.
# Seen with tensorflow-cpu 2.21.0 and 2.16.2. Exits with 0 while, in two workers on
# loopback, reading alone raises and reading with tf.identity gives the sum, and while
# MirroredStrategy gives it both ways.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat > "$folder/adds.py" <<'EOF'
import json
import os
import socket
import subprocess
import sys

if len(sys.argv) == 1:  # Start two workers, and a process with two devices.
    with socket.socket() as a, socket.socket() as b:
        for s in (a, b):
            s.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
    places = [
        json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}})
        for i in range(2)
    ]
    processes = [
        subprocess.Popen([sys.executable, __file__, "worker"], env=os.environ | {"TF_CONFIG": p})
        for p in places
    ]
    processes.append(subprocess.Popen([sys.executable, __file__, "alone"]))
    sys.exit(any([p.wait() for p in processes]))

import tensorflow as tf

if sys.argv[1] == "worker":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
else:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variable = tf.Variable(1.0)


def total(read):
    @tf.function
    def run():
        def replica():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, read(variable))

        return strategy.run(replica)

    try:
        return float(strategy.experimental_local_results(run())[0])
    except ValueError as error:
        return "destinations can not be empty" in str(error) and "refused"


found = total(tf.convert_to_tensor), total(lambda v: tf.identity(tf.convert_to_tensor(v)))
print(tf.__version__, sys.argv[1], *found, flush=True)
assert found == ("refused" if sys.argv[1] == "worker" else 2.0, 2.0), found
EOF
for version in 2.21.0 2.16.2; do
  "$folder/venv/bin/pip" install --quiet "tensorflow-cpu==$version"
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/adds.py"
done
