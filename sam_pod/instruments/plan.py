"""What is asked of the instruments, and how far they go."""

import dataclasses

from sam_pod import errors
from sam_pod.instruments.objective import BATCH_NORMS

MEASURES = ("eigenvalues",)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    measures: tuple[str, ...] = MEASURES
    at: tuple[str, ...] = ("last",)
    examples: int = 0  # 0 for 10,240, or all where there are fewer.
    batch_size: int = 0  # Over all replicas; 0 for that of the run's chunks.
    batch_norm: str = "running"
    seed: int = 0
    iterations: int = 90  # Of Lanczos.
    eigenvalues: int = 5

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            UserError: an unknown word, or a number that is too small.
        """
        for name in self.measures:
            errors.lookup(dict.fromkeys(MEASURES), name, "--measures")
        errors.lookup(BATCH_NORMS, self.batch_norm, "--batch_norm")
        if self.eigenvalues > self.iterations:
            raise errors.UserError(
                f"--eigenvalues is {self.eigenvalues}; it must be at most --iterations "
                f"({self.iterations}), which finds so many."
            )
