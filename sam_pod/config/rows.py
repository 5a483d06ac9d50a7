"""One row a config key: default, meaning, rule, and whether it may change.

Defaults, simple rules, `--help`, digests and what may change when a run is continued
all follow from `ROWS`.
"""

from sam_pod.config.data_rows import DATA
from sam_pod.config.model_rows import MODEL
from sam_pod.config.row import (
    ABOVE_0,
    ACCEPTED,
    AT_LEAST_0,
    FREE,
    PLACE,
    Row,
    Rule,
    one_of,
)
from sam_pod.config.sam_rows import SAM
from sam_pod.config.training_rows import EMA, OPTIMIZER, SCHEDULE

_RUN = (
    Row("seed", 0, "Of the initial weights, the order and all draws.", AT_LEAST_0),
    Row("global_batch_size", 128, "Examples per step, over all replicas.", ABOVE_0),
    Row("num_epochs", 100, "Passes over the training split.", ABOVE_0, ACCEPTED),
    Row(
        "accumulate_steps",
        1,
        "Chunks of each pass, one in memory at a time: memory for time.",
        ABOVE_0,
    ),
    Row(
        "steps_per_loop",
        50,
        "Most steps in one compiled call, which log_every_seconds cuts short.",
        ABOVE_0,
    ),
    Row(
        "dtype",
        "float32",
        "Of the layers' arithmetic; weights are float32.",
        one_of("float32", "bfloat16"),
    ),
    Row("log_every_seconds", 5.0, "Between lines of progress.", ABOVE_0, FREE),
    Row(
        "profile_steps",
        0,
        "Steps traced, within an epoch, for the profile page.",
        AT_LEAST_0,
        FREE,
    ),
)

_MACHINE = (
    Row("checkpoint.every_seconds", 300.0, "Between two saves.", ABOVE_0, FREE),
    Row(
        "storage.retry_seconds",
        120.0,
        "For how long what a bucket or a server fails to do is tried again.",
        AT_LEAST_0,
        FREE,
    ),
    Row(
        "watchdog.connect_seconds",
        900.0,
        "Longest to connect, and then to set up; after that the process says where it "
        "hangs and exits with 42.",
        ABOVE_0,
        FREE,
    ),
    Row(
        "watchdog.compile_seconds",
        3600.0,
        "Longest for the first loop of a step.",
        ABOVE_0,
        FREE,
    ),
    Row("watchdog.loop_seconds", 300.0, "Longest for any other loop.", ABOVE_0, FREE),
    Row(
        "runtime.strategy",
        "auto",
        "'auto', 'tpu', 'multiworker', 'mirrored', 'one' or 'pjrt' (docs/pjrt.md).",
        change=PLACE,
    ),
    Row(
        "runtime.cpu_replicas",
        1,
        "Replicas on this machine's CPU, where that is what computes.",
        ABOVE_0,
        PLACE,
    ),
    Row("runtime.deterministic", True, "Bit-exact kernels on a GPU, too."),
)

_SHARPNESS_MEASURES = ("eigenvalues", "trace", "worst_case", "average_case")
_SHARPNESS = (
    Row(
        "sharpness.every_epochs",
        0,
        "Epochs between two measurements of how sharp the loss is; 0 for none.",
        AT_LEAST_0,
        FREE,
    ),
    Row(
        "sharpness.measures",
        "eigenvalues",
        f"Some of {', '.join(_SHARPNESS_MEASURES)}, with commas.",
        Rule(
            f"some of {', '.join(_SHARPNESS_MEASURES)}, with commas",
            lambda text: set(text.split(",")) <= set(_SHARPNESS_MEASURES),
        ),
        FREE,
    ),
    Row(
        "sharpness.examples",
        1024,
        "Training examples that are measured, or all if there are fewer.",
        ABOVE_0,
        FREE,
    ),
    Row("sharpness.iterations", 20, "Products of Lanczos.", ABOVE_0, FREE),
)

ROWS = (*_RUN, *MODEL, *DATA, *OPTIMIZER, *EMA, *SCHEDULE, *SAM, *_SHARPNESS, *_MACHINE)
