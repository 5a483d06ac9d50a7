"""The training step under a real TPUStrategy, traced without a TPU.

Tracing runs all of the strategy's own code and shows the collectives that it emits;
nothing executes.
"""

import collections

import pytest
import tensorflow as tf
from tensorflow.python.eager.context import LogicalDevice
from tensorflow.python.tpu import tpu_system_metadata

from sam_pod import state as state_lib
from sam_pod import step
from tests import fixtures

CORES = 4


class MadeUpTPU(tf.distribute.cluster_resolver.TPUClusterResolver):
    """A resolver that names the cores of a TPU and contacts nothing."""

    task_type = None
    task_id = None
    environment = ""

    def __init__(self):  # Not the parent's, which looks for a TPU.
        self._tpu = ""

    def get_tpu_system_metadata(self):
        names = [
            f"/job:localhost/replica:0/task:0/device:TPU:{i}" for i in range(CORES)
        ]
        return tpu_system_metadata.TPUSystemMetadata(
            num_cores=CORES,
            num_hosts=1,
            num_of_cores_per_host=CORES,
            topology=None,
            devices=[LogicalDevice(name, "TPU") for name in names],
        )

    def cluster_spec(self):
        return None

    def master(self, *args, **kwargs):
        del args, kwargs
        return ""

    get_master = master

    def num_accelerators(self, *args, **kwargs):
        del args, kwargs
        return {"TPU": CORES}


def traced_operations(sync, monkeypatch):
    # Variables cannot live on cores that are made up: they stay on the host, and
    # the strategy's copies of them are all that the trace needs.
    strategy = tf.distribute.TPUStrategy(MadeUpTPU())
    extended = strategy.extended
    monkeypatch.setattr(
        extended, "_tpu_devices", cpu_devices(extended._tpu_devices), raising=True
    )
    recipe = fixtures.small_recipe(fixtures.small_model(dropout=0.5), sync=sync)
    strategy._enable_packed_variable_in_eager_mode = False
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)

    def replica(images, labels):
        values, report = step.replica_step(state.read(), (images, labels), recipe)
        state.write(values)
        return report

    @tf.function
    def traced(images, labels):
        return strategy.run(replica, args=(images, labels))

    graph = traced.get_concrete_function(
        tf.TensorSpec((8, 6, 6, 3), tf.uint8), tf.TensorSpec((8,), tf.int32)
    ).graph
    definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes.extend(function.node_def)
    return collections.Counter(node.op for node in nodes)


def cpu_devices(devices):
    names = devices.copy().astype(object)
    for i in range(names.size):
        names.flat[i] = f"/job:localhost/replica:0/task:0/device:CPU:{i}"
    return names


@pytest.mark.parametrize(
    ("sync", "ascent_sums"), [("global", 5), ("replica", 0), ("norm", 1)]
)
def test_the_step_has_the_collectives_of_its_mode(sync, ascent_sums, monkeypatch):
    operations = traced_operations(sync, monkeypatch)
    weights, stats, scalars = 5, 2, 4  # loss, perturbed loss, accuracy, norm
    assert operations["CrossReplicaSum"] == ascent_sums + weights + stats + scalars
    assert operations["AllToAll"] == 0
    assert operations["TPUReplicateMetadata"] == 1
