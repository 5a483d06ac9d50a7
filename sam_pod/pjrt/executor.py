"""What compiles the loops of a run for JAX, and keeps its state on the devices."""

import contextlib
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh

from sam_pod.lowering import programs
from sam_pod.lowering.programs import Program
from sam_pod.pjrt import program as program_lib
from sam_pod.pjrt.loop import Loop, Make
from sam_pod.pjrt.resident import Resident
from sam_pod.sam.variant import Variant
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

# Steps that a device is asked for ahead of time hide the host's part of a step.
_AHEAD = 3


class Executor:
    """`run.execution.Executor` for the devices of a mesh."""

    def __init__(self, mesh: Mesh, *, deterministic: bool) -> None:
        self._mesh = mesh
        self._platform = mesh.devices.flat[0].platform
        self._options = None
        if deterministic and self._platform in ("gpu", "cuda", "rocm"):
            self._options = {"xla_gpu_deterministic_ops": True}
        self._resident: Resident | None = None

    def compile_train(self, state: state_lib.TrainState, recipe: Recipe) -> Loop:
        """Return the loop that trains: its rows are metrics.TRAIN."""

        def of(variant: Variant) -> Make:
            def make(size: int, shape: tuple[int, int, int]) -> Callable:
                return self._jitted(
                    programs.train_step(
                        recipe,
                        shape,
                        num_replicas=self._mesh.size,
                        per_replica_batch_size=size,
                        variant=variant,
                    )
                )

            return make

        def choose(done: int) -> Callable[[int], int]:
            is_empty = bool(recipe.variant.between) and not state.is_filled()

            def place(i: int) -> int:
                found = recipe.cadence.place(recipe.variant, done + i)
                # Without a memory it is refreshed first.
                return 0 if i == 0 and is_empty and found == 1 else found

            return place

        return self._loop(state, [of(v) for v in recipe.programs], choose, updates=True)

    def compile_evaluation(
        self, state: state_lib.TrainState, recipe: Recipe, *, averaged: bool = True
    ) -> Loop:
        """Return the loop that evaluates: its rows are `metrics.evaluation_sums`.

        Args:
            state: The state of the run.
            recipe: The parts of its step.
            averaged: Whether the average is evaluated, where there is one.
        """

        def make(size: int, shape: tuple[int, int, int]) -> Callable:
            return self._jitted(
                programs.evaluation(
                    recipe,
                    shape,
                    num_replicas=self._mesh.size,
                    per_replica_batch_size=size,
                    averaged=averaged,
                )
            )

        return self._loop(state, [make], lambda done: lambda i: 0, updates=False)

    def settle(self, state: state_lib.TrainState) -> None:
        """Bring the variables of the state up to date with the devices."""
        self._of(state).settle()

    def reload(self, state: state_lib.TrainState) -> None:
        """Have the devices take the variables of the state as they are now."""
        self._of(state).reload()

    @contextlib.contextmanager
    def traced(self, folder: str) -> Iterator[None]:
        """Trace the host and the devices, by XLA's profiler."""
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # Each call of Python would be an event.
        with jax.profiler.trace(folder, profiler_options=options):
            yield
            if self._resident:
                self._resident.wait()  # Else a device's last operations are not in it.

    def _of(self, state: state_lib.TrainState) -> Resident:
        """Return the one resident of a state, which all loops share."""
        if self._resident is None or self._resident.state is not state:
            self._resident = Resident(state, self._mesh)
        return self._resident

    def _jitted(self, program: Program) -> Callable:
        return program_lib.jitted(program, self._mesh, self._options)

    def _loop(
        self,
        state: state_lib.TrainState,
        makes: list[Make],
        choose: Callable[[int], Callable[[int], int]],
        *,
        updates: bool,
    ) -> Loop:
        return Loop(
            self._of(state),
            makes,
            choose,
            updates=updates,
            num_replicas=self._mesh.size,
            # Several steps at once on the threads of one CPU can wait for each other.
            in_flight=1 if self._platform == "cpu" else _AHEAD,
        )
