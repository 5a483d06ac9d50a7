"""A Keras model as a pure function of its weights, statistics and a random key."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from sam_pod.models import (
    activity,
    calls,
    dropout,
    normalization,
    recompute,
    variable_names,
)
from sam_pod.models import gates as gates_lib
from sam_pod.sam import roles as roles_lib


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What one call of a network gives."""

    logits: tf.Tensor  # [B, num_classes], float32.
    stats: list[tf.Tensor]  # The statistics after the call, moved if it trained.
    penalty: tf.Tensor  # Sum of the model's own regularizers, a scalar.


class Network:
    """Hold an architecture, and call it with any values for its variables.

    The Keras variables of `model` only give names, shapes and initial values: no
    training step reads or writes them, so none of them lives on an accelerator.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        recomputes: bool = False,
        couples_examples: bool = False,
    ) -> None:
        """Take a model.

        Args:
            model: The model.
            recomputes: Whether its blocks compute again what gradients need.
            couples_examples: Whether a layer that is not Keras' own lets the examples
                of a batch see each other.

        Raises:
            UserError: it should compute again, and has no blocks.
        """
        self.model = model
        self.couples_examples = couples_examples
        self.blocks = recompute.Blocks(model) if recomputes else None
        self._is_seed = [is_seed(v) for v in model.non_trainable_variables]
        self._stats = [
            variable
            for variable, seed in zip(
                model.non_trainable_variables, self._is_seed, strict=True
            )
            if not seed
        ]
        by_row = dropout.by_row(model)
        self._is_by_row = [id(v) in by_row for v in model.non_trainable_variables]
        self._draws_by_row = True
        self._gates = gates_lib.of(model)
        self._normalizations = normalization.Normalizations(model)
        self._activities = activity.Activities(model)

    def again(self, *, recomputes: bool) -> "Network":
        """Return a network of the model as it is now.

        Raises:
            UserError: it should compute again, and has no blocks.
        """
        return Network(
            self.model, recomputes=recomputes, couples_examples=self.couples_examples
        )

    @property
    def num_gates(self) -> int:
        """How many uniform numbers the network takes for each image when it trains."""
        return gates_lib.count(self._gates)

    @property
    def draws(self) -> bool:
        """Whether a layer draws random numbers when it trains."""
        return any(self._is_seed)

    def draw_by_batch(self) -> None:
        """Draw for the batch of each call alone, as in runs of before `dropout`."""
        self._draws_by_row = False
        self._is_by_row = [False] * len(self._is_by_row)

    @property
    def draws_by_batch(self) -> bool:
        """Whether what a layer draws for an example depends on what it is called with.

        Of Keras' layers those of noise do not, and those that augment images do.
        """
        places = zip(self._is_seed, self._is_by_row, strict=True)
        return any(seed and not by_row for seed, by_row in places)

    @property
    def regularizes_activities(self) -> bool:
        """Whether a layer's loss is of what it gives."""
        return self._activities.are_there

    @property
    def has_batch_norm(self) -> bool:
        """Whether a layer normalizes by its batch, or sees it, when it trains."""
        return self.couples_examples or any(
            isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            for layer in self.model._flatten_layers()
        )

    def roles(self) -> tuple[roles_lib.Role, ...]:
        """Return what each weight is in its layer, in the order of `apply`."""
        return roles_lib.of(self.model)

    def initial_weights(self) -> dict[str, np.ndarray]:
        """Return the initial trainable weights by name, in the order of `apply`."""
        return self._by_name(self.model.trainable_variables)

    def initial_stats(self) -> dict[str, np.ndarray]:
        """Return the initial statistics by name: all else but seeds of dropout."""
        return self._by_name(self._stats)

    def assign(self, weights: list[np.ndarray], stats: list[np.ndarray]) -> None:
        """Give the model's own variables values, in the order of `apply`."""
        variables = [*self.model.trainable_variables, *self._stats]
        for variable, value in zip(variables, [*weights, *stats], strict=True):
            variable.assign(value)
        self._normalizations.finalize()

    def _by_name(self, variables: list[keras.Variable]) -> dict[str, np.ndarray]:
        names = variable_names.of(self.model, variables)
        return {n: v.numpy() for n, v in zip(names, variables, strict=True)}

    def apply(
        self,
        weights: list[tf.Tensor],
        stats: list[tf.Tensor],
        images: tf.Tensor,
        *,
        key: tf.Tensor | None = None,
        rows: dropout.Rows | None = None,
        gates: gates_lib.Drawn | None = None,
        examples_per_example: float = 1.0,
    ) -> Outputs:
        """Return the outputs for `images` `[B, H, W, C]`.

        Args:
            weights: One tensor per trainable variable.
            stats: One tensor per statistic (BatchNorm's moving mean and variance).
            images: Images, float32.
            key: An int32 `[2]` key. With one the model trains: batch statistics, and
                dropout masks that are a function of the key and an example's row of
                the global batch. Without, it infers.
            rows: Where in the global batch `images` are; its first ones if None.
            gates: The `num_gates` numbers of each image. If None, and the network
                trains, they are a function of the key, and the gradient is the true
                one.
            examples_per_example: How many of the global batch there are for each of
                `images`: so often its activations' regularizers count.
        """
        if rows is None:
            rows = dropout.Rows(0, images.shape[0] or tf.shape(images)[0])
        non_trainable = self._non_trainable(stats, key, rows)
        if key is None or not self._gates:
            gates = None
        elif gates is None:
            shape = [tf.shape(images)[0], self.num_gates]
            gates = gates_lib.draw(shape, _of_batch(key, rows))
        training = key is not None
        around = functools.partial(
            *(self._given, rows, gates, non_trainable, examples_per_example, training)
        )
        if training and self.blocks:
            logits, new, losses = self.blocks(weights, non_trainable, images, around)
        else:
            with around():
                logits, new, losses = self._call(
                    weights, non_trainable, images, training
                )
        return Outputs(
            logits=tf.cast(logits, tf.float32),
            stats=[
                _like(value, old)
                for value, old, seed in zip(
                    new, non_trainable, self._is_seed, strict=True
                )
                if not seed
            ],
            penalty=tf.add_n([tf.cast(loss, tf.float32) for loss in losses])
            if losses
            else tf.zeros([]),
        )

    def _call(
        self,
        weights: list[tf.Tensor],
        non_trainable: list[tf.Tensor],
        images: tf.Tensor,
        training: bool,
    ) -> recompute.Called:
        given = calls.values(self.model, weights, non_trainable)
        with keras.StatelessScope(given, collect_losses=True) as scope:
            logits = self.model.call(images, training=training)
        new = [scope.get_current_value(v) for v in self.model.non_trainable_variables]
        return recompute.Called(
            logits, new, scope.losses + calls.penalties(self.model, given)
        )

    def _non_trainable(
        self, stats: list[tf.Tensor], key: tf.Tensor | None, rows: dropout.Rows
    ) -> list[tf.Tensor]:
        """Return a tensor for each variable that does not train: statistics and seeds.

        What is not drawn by row is drawn for the batch of the call.
        """
        batch_key = None if key is None else _of_batch(key, rows)
        # Keras counts in the second word, where the number is, how often a layer draws:
        # without room its second draw would be the first of the next layer.
        room = 1 << 16 if self._draws_by_row else 1
        remaining = iter(stats)
        kinds = zip(self._is_seed, self._is_by_row, strict=True)
        return [
            layer_seed(key if by_row else batch_key, room * i)
            if seed
            else next(remaining)
            for i, (seed, by_row) in enumerate(kinds)
        ]

    @contextlib.contextmanager
    def _given(
        self,
        rows: dropout.Rows,
        gates: gates_lib.Drawn | None,
        non_trainable: list[tf.Tensor],
        examples_per_example: float,
        training: bool,
    ) -> Iterator[None]:
        """Give layers what they do not take as arguments, while the model is called."""
        with (
            calls.within_one(self.model, training=training),
            dropout.given(rows if self._draws_by_row else None),
            gates_lib.given(self._gates, gates),
            self._normalizations.given(non_trainable),
            self._activities.scaled(examples_per_example),
        ):
            yield


def _of_batch(key: tf.Tensor, rows: dropout.Rows) -> tf.Tensor:
    """Return a key for what batches that begin at different rows draw differently."""
    return tf.random.experimental.stateless_fold_in(key, tf.cast(rows.first, tf.int32))


def _like(value: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Return `value` in the type of the statistic that it replaces."""
    if value is old or value.dtype == old.dtype:
        return tf.convert_to_tensor(value)
    return tf.cast(value, old.dtype)


def is_seed(variable: keras.Variable) -> bool:
    """Return whether a variable is the state of a layer that draws random numbers."""
    is_float = tf.as_dtype(variable.dtype).is_floating
    return variable.name == "seed_generator_state" and not is_float


def layer_seed(key: tf.Tensor | None, number: int) -> tf.Tensor:
    """Return the state of a layer's seed in a call with `key`, by a number of its."""
    if key is None:
        return tf.zeros([2], tf.uint32)
    return tf.bitcast(tf.random.experimental.stateless_fold_in(key, number), tf.uint32)
