"""The data and the model of a run, opened and built; nothing is written yet."""

import dataclasses
from typing import Any

import ml_collections

from sam_pod.data.input import dataset, pipeline
from sam_pod.input_range import decision
from sam_pod.machines.runtime import Runtime
from sam_pod.models import transfer
from sam_pod.run import build, decayed, digests, drawn, initial_weights
from sam_pod.step.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The data and the model of a run, opened and built."""

    # With the model's file where it can be read, and what the run decided.
    located: ml_collections.ConfigDict
    data: dataset.DataSet
    splits: dict[str, pipeline.Split]
    epoch_steps: int
    recipe: Recipe
    inputs: dict[str, str]  # Digests, by config key.
    decisions: dict[str, Any]  # By config key.
    is_new: bool  # The run, which begins here.

    def taken_of(self, source: initial_weights.Source) -> transfer.Fit:
        """Return what the run's network takes of some weights, by name.

        Raises:
            UserError: nothing fits.
        """
        return initial_weights.take(
            source,
            self.recipe.network,
            dataset.image_shape(self.located, self.data.manifest),
            self.recipe.input_range.name,
            self.located.model.name,
        )


def load(
    located: ml_collections.ConfigDict,
    decisions: dict[str, Any] | None,
    runtime: Runtime,
) -> Loaded:
    """Open the data and build the step, as the run decided when it began.

    Args:
        located: The config, with `model.name` where the model can be read.
        decisions: The run's decisions by config key; None before it begins.
        runtime: The runtime of this process.

    Raises:
        UserError: the data or the model are not there, damaged, or do not fit.
    """
    located = dataset.as_decided(located, decisions)
    num_replicas = runtime.strategy.num_replicas_in_sync
    with runtime.host_scope():
        data = dataset.load(located)
    splits = data.splits(dataset.held_out(located))
    epoch_steps = pipeline.steps_per_epoch(splits["train"], located.global_batch_size)
    with runtime.host_scope():
        recipe = build.recipe(located, data.manifest, num_replicas, decisions=decisions)
    decided = {
        decision.KEY: recipe.input_range.name,
        dataset.CHANNELS: dataset.channels(located, data.manifest),
        **decayed.decision(recipe.network, recipe.kernels),
        **drawn.decision(recipe.network, decisions),
    }
    return Loaded(
        located=located,
        data=data,
        splits=splits,
        epoch_steps=epoch_steps,
        recipe=recipe,
        inputs=digests.of_inputs(located, data.manifest.digest()),
        decisions={**(decisions or {}), **decided},
        is_new=decisions is None,
    )
