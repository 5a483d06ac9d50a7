"""A workdir, taken for this process: what it holds must still go with the request."""

import contextlib
import dataclasses
from typing import IO, Any

import ml_collections

from sam_pod import errors
from sam_pod.machines import groups
from sam_pod.machines.runtime import Runtime
from sam_pod.models import model_file
from sam_pod.process import watchdog
from sam_pod.run import (
    continuing,
    initial_weights,
    loading,
    longer,
    spread,
    surroundings,
)
from sam_pod.run import workdir as workdir_lib


@dataclasses.dataclass(frozen=True)
class Asked:
    """The user's request: the config, and where it runs."""

    config: ml_collections.ConfigDict
    workdir: str
    runtime: Runtime
    accepted: frozenset[str]

    @property
    def num_replicas(self) -> int:
        """The number of replicas in sync."""
        return self.runtime.strategy.num_replicas_in_sync

    def bounded(self, what: str) -> contextlib.AbstractContextManager:
        """Bound the time of a call that waits for other machines to connect."""
        seconds = self.config.watchdog.connect_seconds
        return watchdog.limit(seconds, what, "watchdog.connect_seconds")


def hold(
    asked: Asked,
    loaded: loading.Loaded,
    source: initial_weights.Source | None,
    decided: dict[str, Any] | None,
) -> tuple[IO | None, list[str]]:
    """Take the workdir; return its lock, and a line for each change of the run.

    Args:
        asked: The user's request.
        loaded: What was loaded for it.
        source: Where the initial weights are from, if any are named.
        decided: What the run had decided when it was loaded.

    Raises:
        UserError: another process has it, or has made something else of it.
    """
    if not asked.runtime.workers.is_chief:
        return None, []
    config, workdir, name = asked.config, asked.workdir, loaded.located.model.name
    now = _spread(asked, loaded)
    changes: list[str] = []

    def check_and_note() -> None:
        _check_untouched(asked, decided)
        changes.append(
            continuing.check_spread(
                *(workdir, config, now, asked.accepted),
                draws_by_batch=loaded.recipe.network.draws_by_batch,
            )
        )
        changes.append(longer.change(workdir, config, loaded.epoch_steps))
        longer.note(workdir, config, loaded.recipe, loaded.epoch_steps)

    taken = source and loaded.taken_of(source)
    model = model_file.read(name) if model_file.is_path(name) else None
    lock = workdir_lib.begin(
        *(workdir, config, loaded.inputs, model, loaded.decisions),
        first=check_and_note,
    )
    if taken:
        initial_weights.keep(workdir, source, taken)
    continuing.note_spread(workdir, now)
    surroundings.note(workdir, asked.runtime.versions)
    return lock, [line for line in changes if line]


def _spread(asked: Asked, loaded: loading.Loaded) -> spread.Spread:
    return spread.of(
        asked.config,
        asked.num_replicas,
        asked.runtime.workers.count,
        groups.size(asked.config.sam.sync, asked.num_replicas),
        has_batch_norm=loaded.recipe.network.has_batch_norm,
        ascends=loaded.recipe.variant.ascends,
        executed_by=asked.runtime.name,
    )


def _check_untouched(asked: Asked, decided: dict[str, Any] | None) -> None:
    """Check again, with the lock, what was checked without it.

    Raises:
        UserError: another process has had the workdir since, and made another run in
            it, or finished this one.
    """
    workdir, config = asked.workdir, asked.config
    workdir_lib.check(workdir, config, asked.accepted)
    now = workdir_lib.read_decisions(workdir)
    if continuing.finished(workdir, config) or (decided or now) != now:
        raise errors.UserError(
            f"Another process has trained in {workdir} since this one began to: run "
            "the same command again, which goes on from there."
        )
