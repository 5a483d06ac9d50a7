"""One row a config key: default, meaning, rule, and whether it may change.

Defaults, simple rules, `--help`, digests and what may change when a run is continued
all follow from `ROWS`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

# Whether a key may have another value when a run is continued.
FIXED = "fixed"
FREE = "free"  # It says where and how to run, not what is computed.
ACCEPTED = "accepted"  # Where --accept_change names it.
# It says on how many replicas to run: what is computed depends on what that comes to
# (spread.py), not on its text.
PLACE = "place"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a predicate."""

    words: str  # What follows 'it must be'.
    holds: Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Row:
    """One config key."""

    name: str
    default: bool | int | float | str  # Every value has its type.
    help: str
    rule: Rule = Rule("", lambda value: True)  # Or the builder that reads it has one.
    change: str = FIXED
    is_path: bool = False  # Whether it is or may be a path, in which `~` is expanded.


def _one_of(*choices: str) -> Rule:
    return Rule(" or ".join(map(repr, choices)), choices.__contains__)


_ABOVE_0 = Rule("above 0", lambda value: value > 0)
_AT_LEAST_0 = Rule("0 or above", lambda value: value >= 0)
_BELOW_1 = Rule("in [0, 1)", lambda value: 0 <= value < 1)
_UP_TO_1 = Rule("in [0, 1]", lambda value: 0 <= value <= 1)
_UP_TO_10 = Rule("0 or above, and at most 10", lambda value: 0 <= value <= 10)
_CHANNELS = Rule("1 (grey), 3 or 0 (as the data are)", (0, 1, 3).__contains__)
_VALIDATION = Rule(
    "'held_out' (`data.validation_examples` of training) or 'split' (the data's own)",
    ("held_out", "split").__contains__,
)

_RUN = (
    Row("seed", 0, "Seed of initial weights, order and all draws.", _AT_LEAST_0),
    Row("global_batch_size", 128, "Examples per step, over all replicas.", _ABOVE_0),
    Row("num_epochs", 100, "Passes over the training split.", _ABOVE_0, ACCEPTED),
    Row(
        "accumulate_steps",
        1,
        "Chunks of each pass, one in memory at a time: memory for time.",
        _ABOVE_0,
    ),
    Row(
        "steps_per_loop",
        50,
        "Most steps in one compiled call, which log_every_seconds cuts short.",
        _ABOVE_0,
    ),
    Row(
        "dtype",
        "float32",
        "Type of the layers' arithmetic; weights are float32.",
        _one_of("float32", "bfloat16"),
    ),
    Row("log_every_seconds", 5.0, "Between lines of progress.", _ABOVE_0, FREE),
    Row(
        "profile_steps",
        0,
        "Steps traced, within an epoch, for the profile page.",
        _AT_LEAST_0,
        FREE,
    ),
)

_MODEL = (
    Row(
        "model.name",
        "resnet20",
        "A network of the trainer's, or the path of a model's file.",
        is_path=True,
    ),
    Row(
        "model.trusted_modules",
        "",
        "Modules of a file's own layers, by comma: names to import or paths of .py "
        "files, whose code then runs; 'lambda' runs the code of Lambda layers in the "
        "file.",
    ),
    Row(
        "model.input_range",
        "auto",
        "The range in which the model is fed its images: 'unit' [0, 1], 'symmetric' "
        "[-1, 1], 'bytes' [0, 255], 'standardized' by the data's mean and deviation, "
        "or 'auto': what a model's file is made for, else as data.standardize says.",
    ),
    Row(
        "model.batch_norm",
        "replica",
        "Whose batch BatchNorm's statistics are of: 'replica', each its own, or "
        "'global', all that ascend together.",
        _one_of("replica", "global"),
    ),
)

_AUGMENT = (
    Row(
        "data.augment",
        "",
        "Some of 'inception', 'crop', 'flip', 'autoaugment', 'randaugment', "
        "'brightness', 'color_jitter', 'cutout', 'mixup' and 'cutmix', joined by "
        "commas; done in this order, but with 'inception' the flip is done at once.",
    ),
    Row("data.crop_padding", 4, "Pixels added on each side, then cut.", _AT_LEAST_0),
    Row(
        "data.brightness_delta",
        0.5,
        "Largest change of brightness, of pixels in [0, 1].",
        _AT_LEAST_0,
    ),
    Row("data.autoaugment_policy", "cifar10", "'cifar10' or 'imagenet'."),
    Row("data.randaugment_layers", 2, "Operations on each image.", _ABOVE_0),
    Row("data.randaugment_magnitude", 9, "Strength of the operations.", _UP_TO_10),
    Row("data.cutout_size", 16, "Pixels of the hidden square's side.", _ABOVE_0),
    Row(
        "data.mixup_alpha",
        1.0,
        "An example's own share is drawn from Beta(alpha, alpha).",
        _ABOVE_0,
    ),
    Row(
        "data.cutmix_alpha",
        1.0,
        "The box has 1 - s of the area, with s drawn from Beta(alpha, alpha).",
        _ABOVE_0,
    ),
    Row(
        "data.label_smoothing",
        0.0,
        "Part of a label that all classes share.",
        _BELOW_1,
    ),
)

_DATA = (
    Row("data.name", "cifar10", "Name of a data set that the run prepares by itself."),
    Row(
        "data.dir",
        "data/cifar10",
        "Folder of the prepared data set, or of TFRecords of others.",
        change=FREE,
        is_path=True,
    ),
    *_AUGMENT,
    Row(
        "data.standardize",
        False,
        "Subtract the mean of the training split, divide by its deviation.",
    ),
    Row(
        "data.validation",
        "held_out",
        "Validation is on training examples that are held out, or on a split.",
        _VALIDATION,
    ),
    Row(
        "data.validation_examples",
        5000,
        "Examples held out of the training split.",
        _ABOVE_0,
    ),
    Row(
        "data.image_size",
        0,
        "Side of the square that the model sees, in pixels; 0 is the stored size.",
        _AT_LEAST_0,
    ),
    Row("data.channels", 0, "Channels that the model sees.", _CHANNELS),
    Row(
        "data.memory_fraction",
        0.25,
        "Share of this machine's memory: decoded images that fit in are held, others "
        "streamed.",
        _UP_TO_1,
        FREE,
    ),
    Row(
        "data.files.train",
        "",
        "TFRecord files that sam_pod.data.prepare has not written, by their names, "
        "such as 'train-*'.",
    ),
    Row("data.files.test", "", "Likewise, such as 'validation-*' or 'validation/*'."),
    Row("data.files.validation", "", "Likewise, where data.validation is 'split'."),
    Row(
        "data.features.image",
        "image",
        "Feature of such files that holds the image, such as 'image/encoded'.",
    ),
    Row(
        "data.features.label",
        "label",
        "Feature of such files that holds the label, such as 'image/class/label'.",
    ),
    Row(
        "data.features.label_offset",
        0,
        "Added to the labels of such files; -1 where they start at 1.",
    ),
    Row("data.num_classes", 0, "Classes of such files.", _AT_LEAST_0),
)

_OPTIMIZER = (
    Row("optimizer.name", "sgd", "'sgd', 'adam' or 'adamw'."),
    Row("optimizer.learning_rate", 0.1, "At the schedule's peak.", _ABOVE_0),
    Row(
        "optimizer.weight_decay",
        0.0,
        "L2 of the kernels in the loss; decoupled for 'adamw'.",
        _AT_LEAST_0,
    ),
    Row("optimizer.momentum", 0.9, "Momentum of 'sgd'.", _BELOW_1),
    Row("optimizer.nesterov", True, "Whether the momentum of 'sgd' is Nesterov's."),
    Row("optimizer.beta_1", 0.9, "Decay of the mean in 'adam' and 'adamw'.", _BELOW_1),
    Row("optimizer.beta_2", 0.999, "Decay of the square there, likewise.", _BELOW_1),
    Row("optimizer.epsilon", 1e-7, "Added to the divisor there, likewise.", _ABOVE_0),
)

_SCHEDULE = (
    Row("schedule.name", "cosine", "'constant', 'cosine' or 'plateau'."),
    Row("schedule.warmup_epochs", 0.0, "Epochs of linear warmup.", _AT_LEAST_0),
    Row(
        "schedule.plateau_factor",
        0.5,
        "Factor by which 'plateau' lowers the learning rate.",
        _BELOW_1,
    ),
    Row(
        "schedule.plateau_patience",
        3,
        "Epochs without a better validation loss before 'plateau' does so.",
        _ABOVE_0,
    ),
    Row(
        "schedule.plateau_min_delta",
        1e-4,
        "By how much the validation loss must fall to be better.",
        _AT_LEAST_0,
    ),
    Row(
        "early_stopping.patience",
        0,
        "Epochs without a better validation loss; 0 never stops early.",
        _AT_LEAST_0,
        ACCEPTED,
    ),
    Row(
        "early_stopping.restore_best_weights",
        False,
        "Test with the weights of the lowest validation loss.",
    ),
)

_SAM = (
    Row(
        "sam.rho", 0.05, "Radius of the ascent; 0 is the plain optimizer.", _AT_LEAST_0
    ),
    Row("sam.variant", "sam", "Member of the family: 'sam'."),
    Row(
        "sam.sync",
        "global",
        "Who ascends together: 'global', 'replica', 'norm', or so many replicas.",
    ),
    Row(
        "sam.micro_batches",
        1,
        "Ascents of each replica's batch, for a smaller m.",
        _ABOVE_0,
    ),
)

_MACHINE = (
    Row("checkpoint.every_seconds", 300.0, "Between two saves.", _ABOVE_0, FREE),
    Row(
        "storage.retry_seconds",
        120.0,
        "For how long what a bucket or a server fails to do is tried again.",
        _AT_LEAST_0,
        FREE,
    ),
    Row(
        "watchdog.connect_seconds",
        900.0,
        "Longest to connect, and then to set up; after that the process says where it "
        "hangs and exits with 42.",
        _ABOVE_0,
        FREE,
    ),
    Row(
        "watchdog.compile_seconds",
        3600.0,
        "Longest for the first loop of a step.",
        _ABOVE_0,
        FREE,
    ),
    Row("watchdog.loop_seconds", 300.0, "Longest for any other loop.", _ABOVE_0, FREE),
    Row(
        "runtime.strategy",
        "auto",
        "'auto', 'tpu', 'multiworker', 'mirrored' or 'one'.",
        change=PLACE,
    ),
    Row(
        "runtime.cpu_replicas",
        1,
        "Replicas on this machine's CPU, where that is what computes.",
        _ABOVE_0,
        PLACE,
    ),
    Row("runtime.deterministic", True, "Bit-exact kernels on a GPU, too."),
)

ROWS = (*_RUN, *_MODEL, *_DATA, *_OPTIMIZER, *_SCHEDULE, *_SAM, *_MACHINE)
