"""The parts of a step; run/build.py builds them from the config."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sam_pod.data import augment
from sam_pod.data.augment import ranges
from sam_pod.models import network as network_lib
from sam_pod.step import optimizers, schedules

Preprocess = Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]
Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_UNIT = ranges.Range()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of a step; constant during a run."""

    network: network_lib.Network
    optimizer: optimizers.Optimizer
    schedule: schedules.Schedule
    # (uint8 images, draws or None for evaluation) -> float32 images.
    preprocess: Preprocess
    rho: float
    sync: str  # 'global', 'replica', 'norm' or a group's size: see exchange.ascents.
    weight_decay: float
    seed: int
    micro_batches: int = 1  # Ascents within each replica's batch.
    accumulate_steps: int = 1  # Chunks of each ascent, to save memory.
    num_draws: int = augment.NUM_DRAWS  # Uniform numbers that augment an example.
    # (preprocessed images, int32 labels, draws) -> (images, soft labels), in training.
    mix: Mix | None = None
    input_range: ranges.Range = _UNIT  # The range of the output of `preprocess`.
