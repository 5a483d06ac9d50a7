"""Restoring: every worker has the chief's state."""

import numpy as np

from sam_pod.machines import workers
from sam_pod.run import restoring
from sam_pod.step import optimizers, state
from tests import fixtures


def test_the_chiefs_state_reaches_another_worker_bit_for_bit():
    """Through bytes, NaN and negative zero included."""
    net = fixtures.small_model()
    strategy = fixtures.mirrored(1)
    chief, other = (state.create(strategy, net, optimizers.adam()) for _ in range(2))
    odd = np.full(chief.weights[0].shape, -0.0, np.float32)
    odd.flat[0] = np.nan
    chief.weights[0].assign(odd)
    chief.step.assign(2**40 + 1)
    sent = []

    class Chief(workers.Workers):
        def chiefs_bytes(self, data):
            sent.append(data)
            return data

    class Other(workers.Workers):
        def chiefs_bytes(self, data):
            assert len(data) == len(sent[0])
            return sent[0]

    restoring.share_state(chief, Chief(strategy, 0, 2))
    restoring.share_state(other, Other(strategy, 1, 2))
    pairs = zip(state.to_arrays(chief), state.to_arrays(other), strict=True)
    for mine, theirs in pairs:
        assert mine.tobytes() == theirs.tobytes()
