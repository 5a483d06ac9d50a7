"""The subject of preflight: the programs that `main` would run with a config.

Nothing is contacted and no example is read. Only the data's shape and the numbers of
classes and of training examples enter a program; they come from the prepared folder
when it is here, from known facts about a data set, or from the caller.
"""

import dataclasses
import functools
import os
from collections.abc import Collection

import ml_collections

from sam_pod import errors
from sam_pod.config import batch
from sam_pod.data.input import dataset
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.lowering import programs
from sam_pod.run import build as build_lib
from sam_pod.sam.variant import PLAIN
from sam_pod.step.recipe import Recipe

# The training steps: with an ascent, on the steps between two, and without any.
STEPS = ("SAM step", "step between", "plain step")
NAMES = (*STEPS, "evaluation")


@dataclasses.dataclass(frozen=True)
class Shape:
    """The facts about its data that a program needs."""

    image_shape: tuple[int, int, int]  # (H, W, C)
    num_classes: int
    train_examples: int  # Before any is held out.


KNOWN = {
    "cifar10": Shape((32, 32, 3), 10, 50_000),
    "digits": Shape((8, 8, 1), 10, 1_347),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A config, and the data that it is meant for."""

    config: ml_collections.ConfigDict
    manifest: manifest_lib.Manifest

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the model sees."""
        return dataset.image_shape(self.config, self.manifest)

    def recipe(self, num_replicas: int) -> Recipe:
        """Return the recipe of the step on this number of replicas.

        Raises:
            UserError: as when `main` builds it.
        """
        build_lib.check_names(self.config, num_replicas)
        return build_lib.recipe(self.config, self.manifest, num_replicas)

    def recipe_alone(self) -> Recipe:
        """Return the recipe for one replica."""
        return build_lib.recipe_alone(self.config, self.manifest)

    def per_replica_batch_size(self, num_replicas: int) -> int:
        """Return the examples of each replica.

        Raises:
            UserError: the batch does not divide; names the two nearest.
        """
        config = self.config
        return batch.per_replica_batch_size(
            config.global_batch_size,
            num_replicas,
            config.sam.micro_batches * config.accumulate_steps,
        )

    def programs(
        self,
        num_replicas: int,
        per_replica_batch_size: int | None = None,
        names: Collection[str] = NAMES,
    ) -> dict[str, programs.Program]:
        """Return the programs of NAMES that the config runs, and the plain step.

        Args:
            num_replicas: The replicas of the slice.
            per_replica_batch_size: A batch in place of the config's.
            names: The names of the programs to make; each takes seconds to lower.

        Raises:
            UserError: the batch does not divide, or the model does not lower.
        """
        size = per_replica_batch_size or self.per_replica_batch_size(num_replicas)
        recipe = self.recipe(num_replicas)
        shape = {"num_replicas": num_replicas, "per_replica_batch_size": size}
        image_shape = self.image_shape
        # What `main` runs where it does, else the optimizer alone.
        plain = recipe if PLAIN in recipe.programs else recipe.plain()
        lower = {
            "SAM step": functools.partial(programs.train_step, recipe),
            "step between": functools.partial(
                programs.train_step, recipe, variant=recipe.variant.between
            ),
            "plain step": functools.partial(programs.train_step, plain, variant=PLAIN),
            "evaluation": functools.partial(programs.evaluation, recipe),
        }
        if recipe.variant is PLAIN:
            del lower["SAM step"]
        if recipe.variant.between is None:
            del lower["step between"]
        return {
            name: one(image_shape, **shape)
            for name, one in lower.items()
            if name in names
        }


def build(config: ml_collections.ConfigDict, given: Shape | None = None) -> Subject:
    """Return the subject of a config.

    Args:
        config: A validated config.
        given: The shape of the data, if the caller knows it.

    Raises:
        UserError: the shape of the data is not known.
    """
    directory = config.data.dir
    path = os.path.join(directory, manifest_lib.FILE_NAME)
    is_there = os.path.exists(directory if dataset.is_foreign(config) else path)
    if given is None and "://" not in directory and is_there:
        return Subject(config, dataset.read_manifest(config))
    shape = given or KNOWN.get(config.data.name)
    if shape is None:
        raise errors.UserError(
            f"The shape of the data is not known: `data.dir` {directory} is not a "
            "prepared data set on this machine; give --image_shape=H,W,C, "
            "--num_classes=K and --train_examples=N."
        )
    return Subject(config, _made_up(config.data.name, shape))


def _made_up(name: str, shape: Shape) -> manifest_lib.Manifest:
    """Return a manifest without data; its mean and deviation are any numbers."""
    channels = shape.image_shape[2]
    shard = manifest_lib.Shard("", shape.train_examples, 0, 0)
    return manifest_lib.Manifest(
        name=name,
        classes=tuple(map(str, range(shape.num_classes))),
        image_shape=shape.image_shape,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        source={"kind": "", "sha256": ""},
        splits={"train": (shard,), "test": (shard,)},
    )
