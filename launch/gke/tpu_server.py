"""Serve the chips of this host to a coordinator: python -m launch.gke.tpu_server PORT.

Anybody who reaches the port can run anything here: it belongs on a private network.
"""

import os
import sys


def main(port: str) -> None:
    """Serve until the process is killed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    import tensorflow as tf

    # A server of its own, which the coordinator that connects makes part of a cluster.
    tf.distribute.Server(
        {"tpu_worker": [f"localhost:{port}"]}, job_name="tpu_worker", task_index=0
    ).join()


if __name__ == "__main__":
    main(sys.argv[1])
