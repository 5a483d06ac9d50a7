"""Batches in a stateless order, read from the shards by graph operations on files.

Which example stands where is a pure function of (seed, epoch, position): resuming
computes where to start, and the order does not depend on the number of hosts or
replicas. Replica r of R takes rows [r * G / R, (r + 1) * G / R) of a global batch of G,
or, where groups of replicas split it further, those that groups.py deals it.

A small split is decoded once and held in memory, as uint8, on every host that reads
it; of a large one each host reads the records that it needs, when it needs them. The
batches are the same.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import crops, reading
from sam_pod.data.input.batches import Batch
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.data.stored import records
from sam_pod.data.stored.untuned import untuned
from sam_pod.machines import groups

InputFn = Callable[[tf.distribute.InputContext], tf.data.Dataset]

# The held-out examples are the same for every `seed`, so that runs can be compared.
_HOLDOUT_SEED = (20101412, 0)
# Separates the draws of a step's image parts from all others of `seed`.
_PARTS_STREAM = 20140917


@dataclasses.dataclass(frozen=True)
class Split:
    """A named part of a prepared data set: rows of one split of its shards."""

    directory: str
    manifest: manifest_lib.Manifest
    stored: str  # The split of the manifest whose shards it is read from.
    first: int  # Examples [first, first + num_examples) of a fixed shuffle are in it.
    num_examples: int
    view: reading.View = reading.AS_STORED

    @property
    def reader(self) -> reading.Reader:
        """Reads the shards it is in."""
        return reading.Reader(self.directory, self.manifest, self.stored, self.view)

    def rows(self, positions: tf.Tensor) -> tf.Tensor:
        """Return where in the shards the examples at int64 `positions` are."""
        if self.stored != "train":
            return positions
        last = self.manifest.num_examples(self.stored) - 1
        return _shuffle(positions + self.first, _HOLDOUT_SEED, last)


def splits(
    directory: str,
    manifest: manifest_lib.Manifest,
    held_out: int | None,
    view: reading.View = reading.AS_STORED,
) -> dict[str, Split]:
    """Return the splits 'train', 'validation' and 'test'; none is ever empty.

    Args:
        directory: The folder of the shards.
        manifest: The manifest of the shards.
        held_out: The number of training examples for validation; None if the split of
            that name is for validation, and all of training trains; 0 if it does and
            nothing validates.
        view: The way in which their examples are read.

    Raises:
        UserError: nothing is left to train on, or there is no split for validation.
    """

    def whole(name: str) -> Split:
        return Split(directory, manifest, name, 0, manifest.num_examples(name), view)

    if held_out is None:
        if records.VALIDATION not in manifest.splits:
            raise errors.UserError(
                f"`data.validation` is 'split', but {directory} has no split "
                f"{records.VALIDATION!r}; it has {', '.join(manifest.splits)}. Take "
                "'held_out', or prepare a source that has one."
            )
        names = ("train", records.VALIDATION, "test")
        return {name: whole(name) for name in names}
    stored = manifest.num_examples("train")
    if held_out >= stored:
        raise errors.UserError(
            f"`data.validation_examples` is {held_out}; it must be below "
            f"the {stored} training examples of {directory}."
        )
    if not held_out:
        return {name: whole(name) for name in ("train", "test")}
    return {
        "train": Split(directory, manifest, "train", held_out, stored - held_out, view),
        "validation": Split(directory, manifest, "train", 0, held_out, view),
        "test": whole("test"),
    }


def steps_per_epoch(split: Split, global_batch_size: int) -> int:
    """Return how many whole global batches an epoch has; the rest waits its turn.

    Raises:
        UserError: not even one.
    """
    steps = split.num_examples // global_batch_size
    if not steps:
        raise errors.UserError(
            f"`global_batch_size` is {global_batch_size}; it must be at most the "
            f"{split.num_examples} examples that are left to train on."
        )
    return steps


def training(
    split: Split,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int,
    group_size: int = 1,
    micro_batches: int = 1,
) -> InputFn:
    """Return the endless input from `start_step` on: a `Batch` for each replica.

    Images are uint8 `[B, H, W, C]`, labels int32 `[B]`, B = G / R; which rows of the
    global batch they are is `groups.rows(replica, B, group_size, micro_batches)`.
    """
    steps_per_epoch(split, global_batch_size)  # One at least.
    draws = split.view.random_parts

    @tf.autograph.experimental.do_not_convert  # Reading the sources takes a second.
    def input_fn(context: tf.distribute.InputContext) -> tf.data.Dataset:
        size = global_batch_size // context.num_replicas_in_sync
        turns = _turns(context, start_step, tf.int64.max)

        def places(step: tf.Tensor, replica: tf.Tensor) -> reading.Places:
            rows = groups.rows(replica, size, group_size, micro_batches)
            shuffled = training_places(split, global_batch_size, seed, step, rows)
            if not draws:
                return reading.Places(shuffled)
            # All replicas draw for the whole global batch, and take their own rows.
            key = tf.stack([tf.constant(seed ^ _PARTS_STREAM, tf.int64), step])
            shape = [global_batch_size, crops.NUM_DRAWS + 1]
            uniform = tf.gather(tf.random.stateless_uniform(shape, key), rows)
            mirrored = uniform[:, -1] < 0.5 if split.view.mirrors else None
            return reading.Places(shuffled, crops.tries(uniform[:, :-1]), mirrored)

        batches = _examples(split, turns.map(places), size, draws=draws)
        return untuned(batches.map(Batch))

    return input_fn


def training_places(
    split: Split, global_batch_size: int, seed: int, step: tf.Tensor, rows: tf.Tensor
) -> tf.Tensor:
    """Return which examples of a split stand in some rows of a step's global batch.

    Args:
        split: The split to train on.
        global_batch_size: The examples of a step over all replicas.
        seed: The run's seed.
        step: The step, from 0 on, int64.
        rows: Rows of the step's global batch, int64 `[B]`.
    """
    epoch_steps = steps_per_epoch(split, global_batch_size)
    epoch = step // epoch_steps
    first = (step - epoch * epoch_steps) * global_batch_size
    seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
    return _shuffle(first + rows, seeds, split.num_examples - 1)


def training_rows(
    split: Split, *, global_batch_size: int, seed: int, step: int
) -> np.ndarray:
    """Return which rows of its shards the global batch of a step holds, int64 `[G]`."""
    rows = tf.range(global_batch_size, dtype=tf.int64)
    number = tf.constant(step, tf.int64)
    places = training_places(split, global_batch_size, seed, number, rows)
    return split.rows(places).numpy()


def evaluation(split: Split, *, global_batch_size: int) -> InputFn:
    """Return the endless input of whole passes: a `Batch` for each replica.

    A pass has `evaluation_steps` global batches. The last one is filled up with a
    repeated example whose mask is 0.
    """
    num_steps = evaluation_steps(split, global_batch_size)

    @tf.autograph.experimental.do_not_convert
    def input_fn(context: tf.distribute.InputContext) -> tf.data.Dataset:
        size = global_batch_size // context.num_replicas_in_sync
        turns = _turns(context, 0, num_steps).repeat()

        def positions(step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
            return step * global_batch_size + groups.rows(replica, size)

        places = turns.map(positions)
        last = split.num_examples - 1
        clipped = places.map(lambda p: reading.Places(tf.minimum(p, last)))
        masks = places.map(lambda p: tf.cast(p < split.num_examples, tf.float32))
        batches = tf.data.Dataset.zip((_examples(split, clipped, size), masks))
        return untuned(batches.map(lambda batch, mask: Batch(*batch, mask)))

    return input_fn


def evaluation_steps(split: Split, global_batch_size: int) -> int:
    """Return how many global batches one pass has, the last one perhaps ragged."""
    return -(-split.num_examples // global_batch_size)


def _shuffle(positions: tf.Tensor, seed: tf.Tensor | tuple, last: int) -> tf.Tensor:
    """Return the bijection of [0, last] that the int64 `[2]` seed picks."""
    seed = tf.cast(seed, tf.int64)
    return tf.random.experimental.index_shuffle(
        positions, seed, tf.cast(last, tf.int64)
    )


def _turns(
    context: tf.distribute.InputContext, start: int, stop: int
) -> tf.data.Dataset:
    """Yield (step, replica) for each replica of this host in turn, step by step."""
    local = context.num_replicas_in_sync // context.num_input_pipelines
    first = context.input_pipeline_id * local
    # Counting turns and dividing keeps one flat dataset that starts anywhere at once.
    turns = tf.data.Dataset.range(start * local, min(stop, 2**62 // local) * local)
    return turns.map(lambda turn: (turn // local, first + turn % local))


def _examples(
    split: Split, places: tf.data.Dataset, size: int, *, draws: bool = False
) -> tf.data.Dataset:
    """Turn a dataset of `reading.Places` in a split into one of (images, labels).

    Args:
        split: The split of the examples.
        places: The places of each batch.
        size: The examples of a batch.
        draws: Whether random parts are drawn.
    """
    if split.view.is_held and not draws:
        batches = split.reader.held(places, all_rows(split))
    else:
        found = places.map(lambda p: p._replace(rows=split.rows(p.rows)))
        batches = split.reader.streamed(found, size, draws=draws)
    return batches.prefetch(2)


def all_rows(split: Split) -> np.ndarray:
    """Return the rows of its shards that a split has, in its order, int64 `[N]`."""
    # A strategy has the input of a host built under that host's device, over which
    # the seed of a shuffle has no shape (TensorFlow 2.16).
    with tf.device(None):
        return split.rows(tf.range(split.num_examples, dtype=tf.int64)).numpy()
