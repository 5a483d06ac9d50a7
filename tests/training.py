"""Training in this process, and a flag that stops it after so many looks."""

import threading

import tensorflow as tf

from sam_pod import train
from sam_pod.machines import runtime


def run(config, workdir, stop=None, strategy=None, accepted=()):
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    stop = stop or threading.Event()
    connected, accepted = runtime.of(strategy), frozenset(accepted)
    return train.run(config, str(workdir), connected, stop, accepted)


class StopAfter(threading.Event):
    """A stop flag that is set when it has been looked at so many times."""

    def __init__(self, looks):
        super().__init__()
        self._looks = looks

    def is_set(self):
        self._looks -= 1
        return self._looks < 0
