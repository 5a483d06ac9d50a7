"""A pod's stand-in: gRPC servers for its hosts, and commands as coordinator.

python -m tests.pod server PORT         one host of a slice, as TensorFlow serves it
python -m tests.pod coordinate ARGS     sam_pod.main ARGS, over such hosts
python -m tests.pod measure ARGS        sam_pod.sharpness ARGS, over such hosts
python -m tests.pod place TPU DATA      where a run over such hosts puts what, as JSON
python -m tests.pod write TPU FOLDER    what a function reads on them after each write

The coordinator connects through the real resolver and the real connect_to_cluster.
Only what needs chips is replaced: initializing them, and TPUStrategy, in whose place
stands a MirroredStrategy over the hosts' CPUs: one process in charge, variables and
input on the hosts.
"""

import contextlib
import json
import os
import sys
from unittest import mock

from sam_pod.process import heavy_imports

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def serve(port):
    import tensorflow as tf

    cluster = tf.train.ClusterSpec({"tpu_worker": [f"127.0.0.1:{port}"]})
    server = tf.distribute.Server(cluster, job_name="tpu_worker", task_index=0)
    print("Serving", server.target, flush=True)
    server.join()


class Topology:
    """The answer of initializing the chips: two hosts of one chip."""

    def __init__(self, hosts):
        import numpy as np

        self.mesh_shape, self.mesh_rank, self.num_tasks = [hosts, 1, 1, 1], 4, hosts
        self.device_coordinates = np.array([[[i, 0, 0, 0]] for i in range(hosts)])


def stand_in_strategy(resolver):
    """Return a strategy of one coordinator over the CPUs of all hosts."""
    import tensorflow as tf
    from tensorflow.python.distribute import mirrored_strategy

    hosts = len(resolver.cluster_spec().as_dict()["worker"])
    devices = [
        f"/job:worker/replica:0/task:{host}/device:CPU:0" for host in range(hosts)
    ]
    # In eager mode TensorFlow refuses hosts that are not this one; what it refuses is
    # all that this stand-in needs.
    with mock.patch.object(
        mirrored_strategy, "_is_device_list_single_worker", return_value=True
    ):
        strategy = tf.distribute.MirroredStrategy(
            devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    strategy.extended._initialize_multi_worker(devices)
    return strategy


@contextlib.contextmanager
def without_chips():
    """Let runtime.connect find hosts that have no chips."""
    import tensorflow as tf

    def initialize(resolver):
        return Topology(len(resolver.cluster_spec().as_dict()["worker"]))

    class StandIn:
        """A type, as the one in whose place it is: what it makes is not of it."""

        def __new__(cls, *arguments):
            return stand_in_strategy(*arguments)

    with (
        mock.patch.object(tf.tpu.experimental, "initialize_tpu_system", initialize),
        mock.patch.object(tf.distribute, "TPUStrategy", StandIn),
    ):
        yield


def coordinate(arguments):
    import tensorflow as tf

    from sam_pod import main

    # As the run on one machine that it is compared with: other operations are traced.
    tf.config.experimental.enable_op_determinism()
    with without_chips():
        return main.main(["main", *arguments])


def measure(arguments):
    from sam_pod import sharpness

    with without_chips():
        return sharpness.main(["sharpness", *arguments])


def place(address, data):
    """Return the device of what a run makes, by what it is."""
    import tensorflow as tf
    from tensorflow.python.framework.config import is_op_determinism_enabled

    from sam_pod.data.input import pipeline
    from sam_pod.data.stored import manifest as manifest_lib
    from sam_pod.machines import runtime, tpu
    from sam_pod.step import loop as loop_lib
    from sam_pod.step import optimizers
    from sam_pod.step import state as state_lib
    from tests import fixtures

    with without_chips():
        run = runtime.connect(tpu_address=tpu.Address(address))
    with run.host_scope():
        net = fixtures.small_model()
        on_host = tf.random.stateless_uniform([2], [0, 0]).device
    state = state_lib.create(run.strategy, net, optimizers.sgd())
    split = pipeline.splits(data, manifest_lib.read(data), 20)["train"]
    input_fn = pipeline.training(split, global_batch_size=4, seed=0, start_step=0)
    batches = run.strategy.distribute_datasets_from_function(
        lambda context: loop_lib.stamped(input_fn(context))
    )
    images, *_ = next(iter(batches))
    return {
        "asks_for_determinism": is_op_determinism_enabled(),
        "default": (tf.constant(0) + 1).device,
        "host_scope": on_host,
        "model": net.model.trainable_variables[0].value.device,
        "weights": [v.device for v in state.weights[0].values],
        "batches": [x.device for x in images.values],
        "input_devices": list(run.input_devices),
    }


def write(address, folder):
    """Return by writer what a function reads on each host after each of its writes.

    They write 1 and 2, in place of 0, to more than a host takes in a moment.
    """
    import numpy as np
    import tensorflow as tf

    from sam_pod.machines import runtime, tpu
    from sam_pod.models import network as network_lib
    from sam_pod.run import checkpoints as checkpoints_lib
    from sam_pod.step import optimizers
    from sam_pod.step import state as state_lib
    from tests import fixtures

    with without_chips():
        run = runtime.connect(tpu_address=tpu.Address(address))
    with run.host_scope():
        network = fixtures.small_model()
    start = {"large": np.zeros((3000, 3000), np.float32)}
    with mock.patch.object(network_lib.Network, "initial_weights", return_value=start):
        state = state_lib.create(run.strategy, network, optimizers.sgd())
    made = checkpoints_lib.Checkpoints(folder, state, host_device=run.host_device)

    @tf.function
    def read():
        last = run.strategy.run(lambda: state.weights[0][-1, -1] + 0.0)
        return run.strategy.experimental_local_results(last)

    def arrays(value):
        """Return those of the state, all of them of one value."""
        return [np.full_like(a, value) for a in state_lib.to_arrays(state)]

    def saved(restore, save):
        """Return a write: what was saved is restored."""

        def put(value):
            state_lib.assign_arrays(state, arrays(value))
            save()
            made.wait()
            state_lib.assign_arrays(state, arrays(0))
            restore()

        return put

    writers = {
        "assign_arrays": lambda value: state_lib.assign_arrays(state, arrays(value)),
        "restore_latest": saved(made.restore_latest, made.save),
        "restore_best": saved(made.restore_best, made.save_best),
    }
    found = {}
    for name, put in writers.items():
        read()
        found[name] = []
        for value in (1, 2):
            put(value)
            found[name].append([float(x) for x in read()])
    return found


if __name__ == "__main__":
    # As commands import it: a third of the time is for what is not needed.
    if sys.argv[1] == "server":
        heavy_imports.tensorflow_alone()
        serve(int(sys.argv[2]))
    heavy_imports.tensorflow()
    if sys.argv[1] == "place":
        print(json.dumps(place(*sys.argv[2:])))
    elif sys.argv[1] == "write":
        print(json.dumps(write(*sys.argv[2:])))
    elif sys.argv[1] == "measure":
        sys.exit(measure(sys.argv[2:]))
    else:
        sys.exit(coordinate(sys.argv[2:]))
