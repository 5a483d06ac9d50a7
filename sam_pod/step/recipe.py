"""What a step is made of; `run.build` makes it from the config."""

import dataclasses

import tensorflow as tf

from sam_pod.data import augment
from sam_pod.data.augment import ranges
from sam_pod.machines.groups import Groups
from sam_pod.models import network as network_lib
from sam_pod.sam.variant import PLAIN, Variant
from sam_pod.step import averaging, metrics, optimizers, schedules
from sam_pod.step.cadence import ALWAYS, Cadence
from sam_pod.step.rho import Rho


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of a step; constant during a run."""

    network: network_lib.Network
    optimizer: optimizers.Optimizer
    schedule: schedules.Schedule
    augmentation: augment.Augmentation
    variant: Variant  # The member of the family.
    rho: Rho
    groups: Groups  # Who ascends together: see exchange.py.
    weight_decay: float
    seed: int
    decays_all: bool = False  # In the loss, over biases and scales as well.
    kernels: optimizers.Kernels = ()  # Which weights decay where not all do.
    average: averaging.Average = averaging.NONE  # Of the weights, for evaluation.
    clip_norm: float = 0.0  # Largest norm of what the optimizer takes; 0 for any.
    cadence: Cadence = ALWAYS  # When the member acts.
    micro_batches: int = 1  # Ascents of each replica's batch.
    accumulate_steps: int = 1  # Chunks of each ascent; for memory.
    input_range: ranges.Range = ranges.Range()  # noqa: RUF009  In which it is fed.

    @property
    def programs(self) -> tuple[Variant, ...]:
        """The members that take the steps, as `cadence.program` counts them."""
        return self.cadence.programs(self.variant)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what a step reports beside `metrics.TRAIN`."""
        return tuple(f"train/{name}" for name in self.variant.metrics)

    @property
    def num_sums(self) -> int:
        """How many sums an evaluation of a batch returns."""
        return metrics.num_sums(self.network.model.output_shape[-1])

    def training_images(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Return uint8 images as training sees them.

        Args:
            images: `[B, H, W, C]`.
            draws: float32 `[B, augmentation.num_draws]`.
        """
        return self.input_range.of_unit(self.augmentation.images(images, draws))

    def evaluation_images(self, images: tf.Tensor) -> tf.Tensor:
        """Return uint8 images `[B, H, W, C]` as evaluation sees them."""
        return self.input_range.of_uint8(images)

    def plain(self) -> "Recipe":
        """Return the recipe of the optimizer alone."""
        return dataclasses.replace(self, variant=PLAIN, cadence=ALWAYS, micro_batches=1)
