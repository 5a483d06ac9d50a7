"""What the processes of one run send to each other between compiled loops.

Every worker runs the same program and must come to the same decisions: when to stop,
how long a loop is, where to continue. They exchange small numbers for that by the
strategy's own all-reduce. A process alone gets its own answers.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sam_pod.machines import replicas

# Bytes travel as pairs, which float32 holds exactly; the largest piece sent at once.
_PIECE_PAIRS = 1 << 22


class Workers:
    """The processes that train together; the chief is number 0."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        index: int = 0,
        count: int = 1,
        add: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Take a strategy.

        Args:
            strategy: What all workers compute with.
            index: The number of this one.
            count: The number of workers.
            add: A function from this worker's float32 numbers to the sums over all; by
                default the strategy's all-reduce.
        """
        self.index = index
        self.count = count
        self._strategy = strategy
        self._sum = add or self._sum_by_strategy
        self._traced = tf.function(self._sum_over_workers, reduce_retracing=True)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: checkpoints, metrics, the result."""
        return self.index == 0

    def any(self, *marks: bool) -> list[bool]:
        """Return for each mark whether some worker has set it."""
        return [total > 0 for total in self.total([float(mark) for mark in marks])]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums over all workers; small whole numbers stay exact."""
        if self.count == 1:
            return list(numbers)
        return self._sum(np.array(numbers, np.float32)).tolist()

    def chiefs_number(self, number: int) -> int:
        """Return the chief's number, which is below 2**24."""
        return int(self.total([number if self.is_chief else 0])[0])

    def chiefs_bytes(self, data: bytes) -> bytes:
        """Return the chief's bytes, bit for bit; those of the others are ignored."""
        if self.count == 1:
            return data
        size = 0
        for part in reversed(range(3)):
            size = size << 16 | self.chiefs_number(len(data) >> 16 * part & 0xFFFF)
        if not size:  # Nothing is to be exchanged.
            return b""
        if not self.is_chief:
            data = bytes(size)
        pairs = np.frombuffer(data + bytes(-size % 2), np.uint16)
        pieces = [
            self._sum((piece * self.is_chief).astype(np.float32))
            for piece in np.split(pairs, range(_PIECE_PAIRS, len(pairs), _PIECE_PAIRS))
        ]
        return np.concatenate(pieces).astype(np.uint16).tobytes()[:size]

    def chiefs_arrays(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the chief's arrays, bit for bit; shapes and types are all workers'."""
        if self.count == 1:
            return arrays
        data = self.chiefs_bytes(b"".join(array.tobytes() for array in arrays))
        ends = np.cumsum([array.nbytes for array in arrays])
        return [
            np.frombuffer(data[end - a.nbytes : end], a.dtype).reshape(a.shape)
            for a, end in zip(arrays, ends, strict=True)
        ]

    def barrier(self) -> None:
        """Wait until every worker is here."""
        self.total([0.0])

    def _sum_by_strategy(self, numbers: np.ndarray) -> np.ndarray:
        return self._traced(tf.constant(numbers)).numpy()

    def _sum_over_workers(self, numbers: tf.Tensor) -> tf.Tensor:
        local = self._strategy.num_replicas_in_sync // self.count

        def replica_fn(numbers: tf.Tensor) -> tf.Tensor:
            speaks = tf.cast(replicas.index() % local == 0, tf.float32)
            return replicas.total([numbers * speaks])[0]

        sums = self._strategy.run(replica_fn, args=(numbers,))
        return self._strategy.experimental_local_results(sums)[0]
