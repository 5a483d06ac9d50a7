"""A network whose blocks compute their activations again in the backward pass.

What a block keeps from the forward pass is what it is called with; all within it is
computed again when its gradient is. Memory for time: a gradient costs a third more.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import tracing
from sam_pod.models import calls, graph_blocks

Tensors = list[tf.Tensor]


class Called(NamedTuple):
    """What a call of a model gives."""

    output: tf.Tensor
    non_trainable: Tensors  # The values after it, in the model's order.
    losses: Tensors  # The model's own.


class _Ran(NamedTuple):
    """What a call of a part gives."""

    outputs: Tensors
    losses: Tensors
    updates: dict[int, tf.Tensor]  # Of its non-trainable variables, by id.


class Blocks:
    """Call a model as a pure function, block by block."""

    def __init__(self, model: keras.Model) -> None:
        """Take a functional model.

        Raises:
            UserError: it has no blocks.
        """
        self._model = model
        self._parts = graph_blocks.of(model)
        if not self.count:
            raise errors.UserError(
                "`model.remat` is 'blocks', and the model has none, for no tensor goes "
                "around any of its layers: take 'none', or `accumulate_steps`."
            )

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return sum(part.is_block for part in self._parts.parts)

    def __call__(
        self,
        trainable: Sequence[tf.Tensor],
        non_trainable: Sequence[tf.Tensor],
        images: tf.Tensor,
        around: Callable[[], Any],
    ) -> Called:
        """Return what the model gives when it trains.

        Args:
            trainable: A tensor for each trainable variable.
            non_trainable: A tensor for each of the others.
            images: `[B, H, W, C]`.
            around: A function that gives a context to call layers in, also when a
                block is computed again.
        """
        given = calls.values(self._model, trainable, non_trainable)
        values = {id(variable): tensor for variable, tensor in given}
        tensors = {self._parts.image: tf.cast(images, self._model.inputs[0].dtype)}
        losses = []
        for part in self._parts.parts:
            ran = _run_part(part, tensors, values, around)
            tensors |= dict(zip(part.outputs, ran.outputs, strict=True))
            values |= ran.updates
            losses += ran.losses
        return Called(
            tensors[self._parts.output],
            [values[id(v)] for v in self._model.non_trainable_variables],
            losses + calls.penalties(self._model, given),
        )


def _run_part(
    part: graph_blocks.Part,
    tensors: dict[graph_blocks.Key, tf.Tensor],
    values: dict[int, tf.Tensor],
    around: Callable[[], Any],
) -> _Ran:
    inputs = [tensors[key] for key in part.inputs]
    weights = [v for v in part.variables if v.trainable]
    given = [values[id(v)] for v in weights]
    # As they are now: what a part changes is not what it is computed again from.
    before = {id(v): values[id(v)] for v in part.variables}

    def run(inputs: Sequence[tf.Tensor], weights_now: Sequence[tf.Tensor]) -> _Ran:
        now = {**before, **dict(zip(map(id, weights), weights_now, strict=True))}
        with around():
            return _call_layers(part, inputs, now)

    return _computed_again(run, inputs, given) if part.is_block else run(inputs, given)


def _call_layers(
    part: graph_blocks.Part, inputs: Sequence[tf.Tensor], values: dict[int, tf.Tensor]
) -> _Ran:
    mapping = [(variable, values[id(variable)]) for variable in part.variables]
    tensors = dict(zip(part.inputs, inputs, strict=True))
    with keras.StatelessScope(mapping, collect_losses=True) as scope:
        for call in part.calls:
            operation = call.node.operation
            given = {place: tensors[key] for place, key in call.inputs.items()}
            args, kwargs = call.node.arguments.fill_in(given)
            if "training" in getattr(operation, "_call_context_args", ()):
                kwargs = {**kwargs, "training": True}
            outputs = keras.tree.flatten(operation(*args, **kwargs))
            tensors |= dict(zip(call.outputs, outputs, strict=True))
    updates = {
        id(variable): scope.get_current_value(variable)
        for variable in part.variables
        if not variable.trainable
    }
    return _Ran([tensors[key] for key in part.outputs], list(scope.losses), updates)


def _computed_again(
    run: Callable[[Sequence[tf.Tensor], Sequence[tf.Tensor]], _Ran],
    inputs: Tensors,
    weights: Tensors,
) -> _Ran:
    """Return what `run` gives; its gradient keeps nothing but what it was called with.

    Statistics are those of the forward pass.
    """
    kept: list[_Ran] = []

    @tf.custom_gradient
    def block(*tensors: tf.Tensor) -> tuple[Tensors, Callable]:
        def both(tensors: Sequence[tf.Tensor]) -> tuple[_Ran, Tensors]:
            ran = run(tensors[: len(inputs)], tensors[len(inputs) :])
            return ran, [*ran.outputs, *ran.losses]

        ran, outputs = both(tensors)
        kept.append(ran)

        def gradient(*upstream: tf.Tensor) -> Tensors:
            again, upstream = _after(tensors[: len(inputs)], upstream)
            again += tensors[len(inputs) :]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(again)
                _, outputs = both(again)
            return tape.gradient(
                outputs,
                again,
                output_gradients=upstream,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return outputs, gradient

    found = list(block(*inputs, *weights))
    count = len(kept[0].outputs)
    return kept[0]._replace(outputs=found[:count], losses=found[count:])


def _after(
    tensors: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor]
) -> tuple[Tensors, Tensors]:
    """Return tensors as others that are there once `upstream` is.

    Otherwise a compiler would see that the same is computed twice, and keep it from
    the forward pass. XLA knows nothing of control dependencies, TensorFlow's own
    optimizer nothing of barriers.
    """
    upstream = list(upstream)
    if tracing.is_for_xla():
        found = tracing.barrier([*tensors, *upstream])
        return found[: len(tensors)], found[len(tensors) :]
    with tf.control_dependencies(upstream):
        return [tf.identity(tensor) for tensor in tensors], upstream
