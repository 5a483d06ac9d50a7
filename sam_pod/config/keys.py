"""Every config key with its default, and recipes that change them.

A recipe (`configs/*.py`) states what differs from the defaults; `load` lays it over
them. Nothing here imports TensorFlow, so a bad config is refused in a moment.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import ml_collections

from sam_pod import errors
from sam_pod.config.first_keys import FIRST_KEYS
from sam_pod.process import path_flags

# Keys that say where and how to run, not what is computed: they may change when a
# run is continued.
FREE_KEYS = frozenset(
    {
        "checkpoint.every_seconds",
        "data.dir",
        "data.memory_fraction",
        "log_every_seconds",
        "profile_steps",
        "storage.retry_seconds",
        "watchdog.compile_seconds",
        "watchdog.connect_seconds",
        "watchdog.loop_seconds",
    }
)

# Keys that say on how many replicas to run: what is computed depends on what they come
# to (spread.py), not on their text.
PLACE_KEYS = frozenset({"runtime.strategy", "runtime.cpu_replicas"})

# Keys whose value is a path, or may be one: `~` is the home folder there.
PATH_KEYS = frozenset({"data.dir", "model.name"})


def defaults() -> ml_collections.ConfigDict:
    """Return every key with its default value; the type of the value is the rule."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.global_batch_size = 128  # Examples per step, over all replicas.
    config.num_epochs = 100
    config.accumulate_steps = 1  # Chunks of each pass: memory for time.
    config.steps_per_loop = 50  # At most; a loop is cut short to log_every_seconds.
    config.dtype = "float32"  # Of the layers' arithmetic; 'bfloat16' or 'float32'.
    config.log_every_seconds = 5.0
    config.profile_steps = 0  # Steps traced, within an epoch, for the profile page.

    config.model = ml_collections.ConfigDict()
    config.model.name = "resnet20"  # Or the path of a model's file.
    # Modules of a file's own layers, by comma: names to import or paths of .py files,
    # whose code then runs; 'lambda' runs the code of Lambda layers in the file.
    config.model.trusted_modules = ""
    # In which range it is fed its images: 'unit' [0, 1], 'symmetric' [-1, 1], 'bytes'
    # [0, 255], 'standardized' by the data's mean and deviation, or 'auto': what a
    # model's file is made for, else as `data.standardize` says.
    config.model.input_range = "auto"
    # Whose batch BatchNorm's statistics are of: 'replica', each its own, or 'global',
    # all that ascend together.
    config.model.batch_norm = "replica"

    config.data = ml_collections.ConfigDict()
    config.data.name = "cifar10"
    config.data.dir = "data/cifar10"
    # Of 'inception', 'crop', 'flip', 'autoaugment', 'randaugment', 'brightness',
    # 'color_jitter', 'cutout', 'mixup' and 'cutmix', joined by commas; done in this
    # order, but with 'inception' the flip is done at once.
    config.data.augment = ""
    config.data.crop_padding = 4  # Pixels added on each side before the crop.
    config.data.brightness_delta = 0.5  # In [0, 1] pixel units.
    config.data.autoaugment_policy = "cifar10"  # Or 'imagenet'.
    config.data.randaugment_layers = 2  # Operations on each image.
    config.data.randaugment_magnitude = 9  # Of 10.
    config.data.cutout_size = 16  # Pixels of the hidden square's side.
    config.data.mixup_alpha = 1.0  # An example's own share is of Beta(alpha, alpha).
    config.data.cutmix_alpha = 1.0  # Likewise.
    config.data.label_smoothing = 0.0  # Part of a label that all classes share.
    config.data.standardize = False  # Subtract the mean, divide by the deviation.
    # Validation is on 'held_out' training examples, or on the 'split' of that name.
    config.data.validation = "held_out"
    config.data.validation_examples = 5000  # Held out of the training split.
    # Side of the square that the model sees; 0 is the stored size.
    config.data.image_size = 0
    config.data.channels = 0  # 1 for grey, 3 for colours; 0 is as the data are.
    # Of this machine's memory; decoded images that fit in are held, others streamed.
    config.data.memory_fraction = 0.25

    # TFRecord files that were not written by sam_pod.data.prepare, by their names.
    config.data.files = ml_collections.ConfigDict()
    config.data.files.train = ""  # Such as 'train-*'.
    config.data.files.test = ""  # Such as 'validation-*' or 'validation/*'.
    config.data.files.validation = ""  # Where `data.validation` is 'split'.
    config.data.features = ml_collections.ConfigDict()
    config.data.features.image = "image"  # Or 'image/encoded', as in ImageNet's.
    config.data.features.label = "label"  # Or 'image/class/label'.
    config.data.features.label_offset = 0  # Added to labels; -1 where they start at 1.
    config.data.num_classes = 0

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 0.0  # L2 in the loss; decoupled for 'adamw'.
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.beta_1 = 0.9
    config.optimizer.beta_2 = 0.999
    config.optimizer.epsilon = 1e-7

    config.schedule = ml_collections.ConfigDict()
    config.schedule.name = "cosine"
    config.schedule.warmup_epochs = 0.0
    config.schedule.plateau_factor = 0.5
    config.schedule.plateau_patience = 3  # Epochs.
    config.schedule.plateau_min_delta = 1e-4  # Of the validation loss.

    config.early_stopping = ml_collections.ConfigDict()
    config.early_stopping.patience = 0  # Epochs; 0 never stops early.
    config.early_stopping.restore_best_weights = False  # For the test at the end.

    config.sam = ml_collections.ConfigDict()
    config.sam.rho = 0.05  # Radius of the ascent; 0 is the plain optimizer.
    config.sam.variant = "sam"
    # Who ascends together: 'global', 'replica', 'norm', or so many replicas.
    config.sam.sync = "global"
    config.sam.micro_batches = 1  # Ascents of each replica's batch, for a smaller m.

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.every_seconds = 300.0

    config.storage = ml_collections.ConfigDict()
    # So long what a bucket or a server fails to do is tried again.
    config.storage.retry_seconds = 120.0

    # Longer than this, and the process says where it hangs and exits with 42.
    config.watchdog = ml_collections.ConfigDict()
    config.watchdog.connect_seconds = 900.0  # To connect; then to set up.
    config.watchdog.compile_seconds = 3600.0  # The first loop of a step.
    config.watchdog.loop_seconds = 300.0  # Any other loop.

    config.runtime = ml_collections.ConfigDict()
    # 'auto', 'tpu', 'multiworker', 'mirrored' or 'one'.
    config.runtime.strategy = "auto"
    config.runtime.cpu_replicas = 1
    config.runtime.deterministic = True  # Bit-exact kernels on a GPU, too.
    return config.lock()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `config` as one level of dotted keys, sorted."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ml_collections.ConfigDict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return dict(sorted(flat.items()))


def check_key(key: str, path: str = "") -> None:
    """Refuse a dotted key that no part of the trainer reads.

    Args:
        key: Such as 'sam.rho'.
        path: Of the file that has it, or '' for the command line.

    Raises:
        UserError: naming the nearest key that exists.
    """
    known = flatten(defaults())
    if key not in known:
        guess = errors.nearest(key, known) or errors.nearest(
            key.rpartition(".")[2], known
        )
        hint = f"; the nearest is `{guess}`" if guess else ""
        where = f" in {path}" if path else ""
        raise errors.UserError(f"Unknown config key `{key}`{where}{hint}.")


def lay_over_defaults(
    values: Mapping[str, Any] | ml_collections.ConfigDict, path: str
) -> ml_collections.ConfigDict:
    """Return the defaults with the values of the file `path` laid over them, locked.

    Raises:
        UserError: an unknown key, a wrong type.
    """
    config = defaults()
    try:
        flat = flatten(values)
    except RecursionError as error:
        raise errors.UserError(
            f"The config of {path} holds itself, or is nested too deeply; it must have "
            "sections with values."
        ) from error
    for key, value in flat.items():
        check_key(key, path)
        _set(config, key, value, path)
    return config


def _set(config: ml_collections.ConfigDict, key: str, value: Any, path: str) -> None:
    section, _, name = key.rpartition(".")
    target = config[section] if section else config
    if key == "sam.sync" and type(value) is int:
        value = str(value)
    check_size(key, value, path)
    try:
        if value is None or isinstance(value, bool) != isinstance(target[name], bool):
            raise TypeError
        target[name] = value
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.UserError(
            f"`{key}` in {path} is {_short(value)}; it must be of type "
            f"{type(target[name]).__name__}."
        ) from error


def check_size(key: str, value: Any, path: str = "") -> None:
    """Refuse a whole number that 64 bits do not hold.

    Raises:
        UserError: naming the key.
    """
    if isinstance(value, int) and abs(value) >= 1 << 63:
        where = f" in {path}" if path else ""
        raise errors.UserError(
            f"`{key}`{where} is a number of {value.bit_length()} bits; it must be "
            "below 2**63."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def expand_home(config: ml_collections.ConfigDict) -> None:
    """Replace the `~` at the beginning of paths by the home folder.

    Raises:
        UserError: this machine has no such folder.
    """
    for key in sorted(PATH_KEYS):
        value = flatten(config)[key]
        try:
            _set(config, key, path_flags.expand(value), "the config")
        except ValueError as error:
            raise errors.UserError(f"`{key}` is {value}: {error}.") from error


def to_json(config: ml_collections.ConfigDict) -> str:
    """Return the config as indented JSON, keys sorted."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def digest(config: ml_collections.ConfigDict) -> str:
    """Return the SHA-256 of what the config computes (all but `FREE_KEYS`).

    A key that is newer than `FIRST_KEYS` counts where it is not at its default alone:
    a run keeps its digest when keys are added.
    """
    default = flatten(defaults())
    fixed = {
        key: value
        for key, value in flatten(config).items()
        if key not in FREE_KEYS
        and (key in FIRST_KEYS or key not in default or value != default[key])
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def differences(
    old: Mapping[str, Any], new: ml_collections.ConfigDict
) -> list[tuple[str, Any, Any]]:
    """Return (key, old value, new value) of the keys that change the computation."""
    before, after = flatten(old), flatten(new)
    return [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if key not in FREE_KEYS and before.get(key) != after.get(key)
    ]


# What may change where --accept_change names it.
ACCEPTABLE = ("early_stopping.patience", "num_epochs", "replicas")
