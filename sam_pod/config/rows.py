"""One row a config key: default, meaning, rule, and whether it may change.

Defaults, simple rules, `--help`, digests and what may change when a run is continued
all follow from `ROWS`.
"""

from sam_pod.config.row import (
    ABOVE_0,
    ACCEPTED,
    AT_LEAST_0,
    BELOW_1,
    CHANNELS,
    FREE,
    PLACE,
    UP_TO_1,
    UP_TO_10,
    VALIDATION,
    Row,
    one_of,
)
from sam_pod.config.sam_rows import SAM

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
        one_of("replica", "global"),
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
    Row("data.crop_padding", 4, "Pixels added on each side, then cut.", AT_LEAST_0),
    Row(
        "data.brightness_delta",
        0.5,
        "Largest change of brightness, of pixels in [0, 1].",
        AT_LEAST_0,
    ),
    Row("data.autoaugment_policy", "cifar10", "'cifar10' or 'imagenet'."),
    Row("data.randaugment_layers", 2, "Operations on each image.", ABOVE_0),
    Row("data.randaugment_magnitude", 9, "Strength of the operations.", UP_TO_10),
    Row("data.cutout_size", 16, "Pixels of the hidden square's side.", ABOVE_0),
    Row(
        "data.mixup_alpha",
        1.0,
        "An example's own share is drawn from Beta(alpha, alpha).",
        ABOVE_0,
    ),
    Row(
        "data.cutmix_alpha",
        1.0,
        "The box has 1 - s of the area, with s drawn from Beta(alpha, alpha).",
        ABOVE_0,
    ),
    Row(
        "data.label_smoothing",
        0.0,
        "Part of a label that all classes share.",
        BELOW_1,
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
        VALIDATION,
    ),
    Row(
        "data.validation_examples",
        5000,
        "Examples held out of the training split.",
        ABOVE_0,
    ),
    Row(
        "data.image_size",
        0,
        "Side of the square that the model sees, in pixels; 0 is the stored size.",
        AT_LEAST_0,
    ),
    Row("data.channels", 0, "Channels that the model sees.", CHANNELS),
    Row(
        "data.memory_fraction",
        0.25,
        "Share of this machine's memory: decoded images that fit in are held, others "
        "streamed.",
        UP_TO_1,
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
    Row("data.num_classes", 0, "Classes of such files.", AT_LEAST_0),
)

_OPTIMIZER = (
    Row("optimizer.name", "sgd", "'sgd', 'adam' or 'adamw'."),
    Row("optimizer.learning_rate", 0.1, "At the schedule's peak.", ABOVE_0),
    Row(
        "optimizer.weight_decay",
        0.0,
        "Of the weights that optimizer.decays_in says.",
        AT_LEAST_0,
    ),
    Row(
        "optimizer.decays_in",
        "auto",
        "Where weight decay stands: 'loss', the L2 of the kernels, in both gradients "
        "of SAM; 'loss_all', that of all weights, as in the paper's code; "
        "'gradient', added to what the optimizer takes, of all weights, as in PyTorch; "
        "'decoupled', of the kernels, beside the optimizer. 'auto' is 'decoupled' for "
        "'adamw', else 'loss'.",
    ),
    Row(
        "optimizer.clip_norm",
        0.0,
        "Largest norm of the gradient that the optimizer takes, averaged over all "
        "replicas; 0 for any. The paper's code has 5.0.",
        AT_LEAST_0,
    ),
    Row("optimizer.momentum", 0.9, "Of 'sgd'.", BELOW_1),
    Row("optimizer.nesterov", True, "Nesterov's momentum, of 'sgd'."),
    Row(
        "optimizer.rate_in_velocity",
        True,
        "Whether 'sgd' takes the learning rate into its velocity, as Keras does, or "
        "applies it to the velocity, as PyTorch and the paper's code do.",
    ),
    Row("optimizer.beta_1", 0.9, "Of 'adam' and 'adamw'.", BELOW_1),
    Row("optimizer.beta_2", 0.999, "Of 'adam' and 'adamw'.", BELOW_1),
    Row("optimizer.epsilon", 1e-7, "Of 'adam' and 'adamw'.", ABOVE_0),
)

_SCHEDULE = (
    Row("schedule.name", "cosine", "'constant', 'cosine' or 'plateau'."),
    Row("schedule.warmup_epochs", 0.0, "Epochs of linear warmup.", AT_LEAST_0),
    Row(
        "schedule.plateau_factor",
        0.5,
        "Factor by which 'plateau' lowers the learning rate.",
        BELOW_1,
    ),
    Row(
        "schedule.plateau_patience",
        3,
        "Epochs without a better validation loss before 'plateau' does so.",
        ABOVE_0,
    ),
    Row(
        "schedule.plateau_min_delta",
        1e-4,
        "By how much the validation loss must fall to be better.",
        AT_LEAST_0,
    ),
    Row(
        "early_stopping.patience",
        0,
        "Epochs without a better validation loss; 0 never stops early.",
        AT_LEAST_0,
        ACCEPTED,
    ),
    Row(
        "early_stopping.restore_best_weights",
        False,
        "Test with the weights of the lowest validation loss.",
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
        "'auto', 'tpu', 'multiworker', 'mirrored' or 'one'.",
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

ROWS = (*_RUN, *_MODEL, *_DATA, *_OPTIMIZER, *_SCHEDULE, *SAM, *_MACHINE)
