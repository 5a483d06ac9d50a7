"""What was measured, as the log's lines and as TensorBoard's scalars."""

import math
from typing import Any

from sam_pod.run.event_files import SHARPNESS

# What a measure finds, as JSON has it.
Found = dict[str, Any]


def lines(found: Found) -> list[str]:
    """Return what was found in lines for the log."""
    if "groups" in found:
        return [
            f"m {one['m']}, ball {one['ball']}: rise {one['rise']:.4g}"
            f"{_spread(one['standard_error'])}"
            for one in found["groups"]
        ]
    if "largest" in found:
        values = ", ".join(f"{value:.5g}" for value in found["largest"])
        return [f"{values} (residual {found['residuals'][0]:.2g} of the first)"]
    numbers = {k: v for k, v in found.items() if isinstance(v, float)}
    return ["  ".join(f"{key} {value:.5g}" for key, value in numbers.items())]


def _spread(standard_error: float) -> str:
    return f" +- {standard_error:.2g}" if math.isfinite(standard_error) else ""


def scalars(point: Found) -> dict[str, float]:
    """Return the numbers of a checkpoint by TensorBoard's names."""
    found = {}
    if "eigenvalues" in point:
        of = point["eigenvalues"]
        for number, value in enumerate(of["largest"], start=1):
            found[f"{SHARPNESS}eigenvalue_{number}"] = value
        found[f"{SHARPNESS}eigenvalue_smallest"] = of["smallest"]
        product = of["largest_times_squared_norm"]
        found[f"{SHARPNESS}eigenvalue_1_times_squared_norm"] = product
        if "with_l2" in of:
            found[f"{SHARPNESS}eigenvalue_1_with_l2"] = of["with_l2"]["largest"][0]
    if "trace" in point:
        found[f"{SHARPNESS}trace"] = point["trace"]["trace"]
    for measure in ("worst_case", "average_case"):
        for one in point.get(measure, {}).get("groups", ()):
            ball = one["ball"].replace(":", "_")
            found[f"{SHARPNESS}{measure}_m{one['m']}_{ball}"] = one["rise"]
    return found
