"""The variables in a checkpoint by their names, without the model that they are of."""

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from sam_pod import errors
from sam_pod.run import checkpoint_folder

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_AVERAGE = "average/"


def evaluated(path: str) -> dict[str, np.ndarray]:
    """Return weights and statistics by name: the averaged ones where there are some.

    Args:
        path: The path of a checkpoint, local or in a bucket.

    Raises:
        UserError: it cannot be read.
    """
    with checkpoint_folder.local(path) as copy:
        try:
            return _read(copy)
        except Exception as error:  # Damaged files raise many types.
            raise errors.UserError(
                f"The checkpoint {path} cannot be read ({errors.reason(error)}): copy "
                "it again from where it was saved, or take another."
            ) from error


def _read(path: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(path)
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(_GRAPH))
    names = {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
    }
    average = {key for key in names if key.startswith(_AVERAGE)}
    return {
        names[key].removeprefix(_AVERAGE): reader.get_tensor(key)
        for key in (average or names)
        if key.removeprefix(_AVERAGE).startswith(("weights/", "stats/"))
    }
