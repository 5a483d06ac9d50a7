"""Products of the loss's Hessian with vectors, summed over the data and replicas."""

import re
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline
from sam_pod.data.input.batches import Batch
from sam_pod.instruments import moments
from sam_pod.instruments.objective import Objective
from sam_pod.instruments.subject import Subject, tensors
from sam_pod.instruments.sweep import Sweep
from sam_pod.machines import eager, replicas

# From weights to a scalar.
LossFn = Callable[[list[tf.Tensor]], tf.Tensor]


def product(
    loss_fn: LossFn, weights: Sequence[tf.Tensor], vector: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Return the loss, and its Hessian times a vector: H v, for each weight.

    The gradient is differentiated backwards once more, with v as what comes from
    above: what only the gradient itself needs is never computed.

    Args:
        loss_fn: A function that is called once.
        weights: w, tensors.
        vector: v, of the same shapes.

    Raises:
        LookupError: an operation of the gradient has no gradient.
    """
    weights, zero = list(weights), tf.UnconnectedGradients.ZERO
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(weights)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(weights)
            loss = loss_fn(weights)
        gradient = inner.gradient(loss, weights, unconnected_gradients=zero)
    result = outer.gradient(
        gradient, weights, output_gradients=list(vector), unconnected_gradients=zero
    )
    return loss, [tf.convert_to_tensor(part) for part in result]


class Products:
    """Multiply the Hessian of a subject's objective by vectors, one after the other.

    A vector is all weights in a row, float64 `[n]`; what the replicas compute is
    float32. One product is one pass over the data, and one all-reduce of weights' size
    at its end.
    """

    def __init__(
        self,
        subject: Subject,
        examples: pipeline.Split,
        objective: Objective,
        batch_size: int,
    ) -> None:
        """Take what is measured; the first product compiles.

        Args:
            subject: A subject; its values may change between products.
            examples: The examples of the objective.
            objective: The loss.
            batch_size: The examples of a batch over all replicas.
        """
        self._subject, self._objective = subject, objective
        self._shapes = [tuple(v.shape) for v in subject.weights]
        strategy = subject.runtime.strategy
        with strategy.scope(), eager.settled():
            self._vector, self._sums = (
                [tf.Variable(tf.zeros(shape)) for shape in self._shapes]
                for _ in range(2)
            )
        self._sweep = Sweep(subject, examples, batch_size, self._add, 1)
        self._begin = _everywhere(strategy, self._clear)
        self._end = _everywhere(strategy, self._reduce)

    @property
    def size(self) -> int:
        """The number of weights, n."""
        return sum(int(np.prod(shape)) for shape in self._shapes)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Return the Hessian times a vector `[n]`, on all workers that of the chief.

        Raises:
            UserError: a layer that cannot be differentiated twice.
        """
        own = vector.astype(np.float32)
        (own,) = self._subject.runtime.workers.chiefs_arrays([own])
        eager.assign(self._vector, split(own, self._shapes))
        self._begin()
        with moments.differentiable_twice():  # If this call is what traces.
            self._sweep()
        self._end()
        return join([variable.numpy() for variable in self._sums])

    def _add(self, batch: Batch) -> tf.Tensor:
        stats = tensors(self._subject.stats)
        try:
            loss, result = product(
                lambda weights: self._objective.share(weights, stats, batch),
                tensors(self._subject.weights),
                tensors(self._vector),
            )
        except LookupError as error:
            raise refusal(error, self._subject.recipe.network.model) from error
        for total, part in zip(self._sums, result, strict=True):
            total.assign_add(part)  # Each replica its own.
        return loss[None]

    def _clear(self) -> None:
        for total in self._sums:
            total.assign(tf.zeros_like(total))

    def _reduce(self) -> None:
        totals = replicas.total(tensors(self._sums))
        for variable, total in zip(self._sums, totals, strict=True):
            variable.assign(total)


def split(vector: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return a vector `[n]` as one array per weight."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(vector, ends[:-1])
    return [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]


def join(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return one array per weight as a vector, float64 `[n]`."""
    return np.concatenate([a.reshape(-1) for a in arrays]).astype(np.float64)


def _everywhere(
    strategy: tf.distribute.Strategy, function: Callable[[], None]
) -> Callable[[], None]:
    @tf.function(autograph=False)
    def run() -> None:
        strategy.run(function)

    return run


def refusal(error: LookupError, model: keras.Model) -> Exception:
    """Return which layer has no second derivative; inside the trace that failed."""
    match = re.search(r"registry has no entry for: (\w+)", str(error))
    if not match:
        return error
    kind = match[1]
    operations = tf.compat.v1.get_default_graph().get_operations()
    places = [
        f"/{operation.name}/" for operation in operations if operation.type == kind
    ]
    layers = [
        layer.name
        for layer in model._flatten_layers(include_self=False)
        if any(re.search(rf"/{re.escape(layer.name)}(_\d+)?/", p) for p in places)
    ]
    return errors.UserError(
        f"The model cannot be differentiated twice: {kind}, of layer "
        f"{', '.join(map(repr, layers)) or 'unknown'}, has no gradient in TensorFlow. "
        "The measures without second derivatives work: "
        "--measures=worst_case,average_case,line,plane."
    )
