"""What a step compiled for a TPU costs a replica, as tables show it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a compiled step costs one replica."""

    gflop: float
    gigabytes: float  # Accessed, by the compiler's count.
    hbm_gigabytes: float  # The part of them that the fast memory does not serve.
    temporary_megabytes: float
    all_reduces: int  # And other collectives, after fusion.
    all_reduce_megabytes: float


COLUMNS = (  # (field, heading, format)
    ("gflop", "GFLOP", ".1f"),
    ("gigabytes", "GB", ".3f"),
    ("hbm_gigabytes", "in HBM", ".3f"),
    ("temporary_megabytes", "temp MB", ".1f"),
    ("all_reduces", "all-reduces", "d"),
    ("all_reduce_megabytes", "their MB", ".3f"),
)


def of(compiled):
    """Return what one compiled step costs."""
    from sam_pod.preflight import hlo, memory

    if compiled.error:
        raise SystemExit(compiled.error)
    module = hlo.parse(compiled.text)
    carried = [c.num_bytes for c in hlo.collectives(module)]
    return Figures(
        gflop=compiled.figures["flops"] / 1e9,
        gigabytes=compiled.figures["bytes_accessed"] / 1e9,
        hbm_gigabytes=memory.hbm_traffic(module) / 1e9,
        temporary_megabytes=compiled.figures["temporary_bytes"] / 1e6,
        all_reduces=len(carried),
        all_reduce_megabytes=sum(carried) / 1e6,
    )
