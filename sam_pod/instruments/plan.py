"""What is asked of the instruments, and how far they go."""

import dataclasses
from typing import Any

from sam_pod import errors
from sam_pod.instruments import balls
from sam_pod.instruments.objective import BATCH_NORMS

OF_HESSIAN = ("eigenvalues", "density", "trace")
MEASURES = (*OF_HESSIAN, "worst_case", "average_case", "line", "plane")
# What the numbers of a measure depend on beside examples, seed and BatchNorm. Sizes of
# groups and balls stand beside their numbers.
_OWN = {
    "eigenvalues": ("iterations", "eigenvalues"),
    "density": ("iterations", "density_probes"),
    "trace": ("trace_probes",),
    "worst_case": ("restarts", "steps"),
    "average_case": ("draws",),
    "line": ("line_points",),
    "plane": ("plane_points",),
}
BALLS = ("2:0.05", "inf:0.0001", "adaptive-2:0.5", "adaptive-inf:0.002")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    measures: tuple[str, ...] = MEASURES
    at: tuple[str, ...] = ("last",)
    examples: int = 0  # 0 for 10,240, or all where there are fewer.
    batch_size: int = 0  # Over all replicas; 0 for that of the run's chunks.
    batch_norm: str = "running"  # Of the Hessian; the rest is of running statistics.
    seed: int = 0
    iterations: int = 90  # Of Lanczos.
    eigenvalues: int = 5
    density_probes: int = 1  # Start vectors; the first is that of the eigenvalues.
    trace_probes: int = 10
    m: tuple[int, ...] = (128,)
    m_examples: int = 1024  # Of all groups; fewer where there are fewer.
    balls: tuple[str, ...] = BALLS
    restarts: int = 2  # From random points, beside the ascent from w.
    steps: int = 20
    draws: int = 10
    line_points: int = 51
    plane_points: int = 15

    def settings(
        self, measure: str, examples: int, batch_size: int, replicas: int
    ) -> dict[str, Any]:
        """Return what the numbers of a measure depend on but the weights, by flag.

        Args:
            measure: One of MEASURES.
            examples: The examples that it takes; of m-sharpness those that are there.
            batch_size: The examples of a batch over all replicas.
            replicas: Those that share the work.
        """
        own = {name: getattr(self, name) for name in ("seed", *_OWN[measure])}
        if measure in ("worst_case", "average_case"):
            return {"m_examples": min(self.m_examples, examples), **own}
        if measure not in OF_HESSIAN:
            return {"examples": examples, **own}
        own = {"examples": examples, "batch_norm": self.batch_norm, **own}
        if self.batch_norm == "batch":
            own |= {"batch_size": batch_size, "replicas": replicas}
        return own

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            UserError: an unknown word, or a number that is too small.
        """
        for name, words in (("measures", MEASURES), ("at", ("last", "best", "every"))):
            if not getattr(self, name):
                raise errors.UserError(
                    f"--{name} is empty; give some of {', '.join(words)}."
                )
        for name in self.measures:
            errors.lookup(dict.fromkeys(MEASURES), name, "--measures")
        errors.lookup(BATCH_NORMS, self.batch_norm, "--batch_norm")
        for ball in self.balls:
            balls.parse(ball)
        if self.eigenvalues > self.iterations:
            raise errors.UserError(
                f"--eigenvalues is {self.eigenvalues}; it must be at most --iterations "
                f"({self.iterations}), which finds so many."
            )
        if min(self.m, default=0) < 1:
            raise errors.UserError(
                f"--m is {','.join(map(str, self.m))}; each must be 1 at least."
            )
        for name in ("line_points", "plane_points"):
            if getattr(self, name) % 2 == 0:
                raise errors.UserError(
                    f"--{name} is {getattr(self, name)}; it must be odd, so that the "
                    "weights themselves are one of the points."
                )
