"""The rules that the values of a config must keep; no TensorFlow."""

import ml_collections

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.storage import schemes

_POSITIVE = [
    "accumulate_steps",
    "sam.micro_batches",
    "global_batch_size",
    "num_epochs",
    "steps_per_loop",
    "log_every_seconds",
    "optimizer.learning_rate",
    "optimizer.epsilon",
    "data.validation_examples",
    "data.cutout_size",
    "data.cutmix_alpha",
    "data.mixup_alpha",
    "data.randaugment_layers",
    "runtime.cpu_replicas",
    "schedule.plateau_patience",
    "checkpoint.every_seconds",
    "watchdog.connect_seconds",
    "watchdog.compile_seconds",
    "watchdog.loop_seconds",
]
_NOT_NEGATIVE = [
    "seed",
    "profile_steps",
    "sam.rho",
    "optimizer.weight_decay",
    "early_stopping.patience",
    "schedule.warmup_epochs",
    "schedule.plateau_min_delta",
    "storage.retry_seconds",
    "data.crop_padding",
    "data.image_size",
    "data.num_classes",
    "data.brightness_delta",
    "data.randaugment_magnitude",
]
_BELOW_ONE = [
    "data.label_smoothing",
    "optimizer.momentum",
    "optimizer.beta_1",
    "optimizer.beta_2",
    "schedule.plateau_factor",
]
_UP_TO_ONE = ["data.memory_fraction"]


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse values outside their range.

    Names that choose an implementation are checked where they are looked up.

    Raises:
        UserError: with the key, its value and the rule.
    """
    flat = config_lib.flatten(config)
    for key, value in flat.items():
        config_lib.check_size(key, value)
    for keys, holds, rule in (
        (
            [key for key, value in flat.items() if isinstance(value, float)],
            lambda value: value == 0 or 1e-37 < abs(value) < 1e37,
            "finite, in the range of float32",
        ),
        (_POSITIVE, lambda value: value > 0, "above 0"),
        (_NOT_NEGATIVE, lambda value: value >= 0, "0 or above"),
        (_BELOW_ONE, lambda value: 0 <= value < 1, "in [0, 1)"),
        (_UP_TO_ONE, lambda value: 0 <= value <= 1, "in [0, 1]"),
    ):
        for key in keys:
            if not holds(flat[key]):
                raise errors.UserError(f"`{key}` is {flat[key]}; it must be {rule}.")
    for key, value in flat.items():
        if isinstance(value, str):
            schemes.check_credentials(value, f"`{key}`")
    if config.dtype not in ("float32", "bfloat16"):
        raise errors.UserError(
            f"`dtype` is {config.dtype!r}; it must be 'float32' or 'bfloat16'."
        )
    if config.data.randaugment_magnitude > 10:
        raise errors.UserError(
            f"`data.randaugment_magnitude` is {config.data.randaugment_magnitude}; it "
            "must be at most 10."
        )
    if config.data.channels not in (0, 1, 3):
        raise errors.UserError(
            f"`data.channels` is {config.data.channels}; it must be 1 (grey), 3 or 0 "
            "(as the data are)."
        )
    if config.data.validation not in ("held_out", "split"):
        raise errors.UserError(
            f"`data.validation` is {config.data.validation!r}; it must be 'held_out' "
            "(`data.validation_examples` of training) or 'split' (the data's own)."
        )
    _validate_files(config)
    if config.model.batch_norm not in ("replica", "global"):
        raise errors.UserError(
            f"`model.batch_norm` is {config.model.batch_norm!r}; it must be 'replica' "
            "or 'global'."
        )
    if config.model.batch_norm == "global":
        _validate_global_batch_norm(config)
    if config.watchdog.loop_seconds <= 2 * config.log_every_seconds:
        raise errors.UserError(
            f"`watchdog.loop_seconds` is {config.watchdog.loop_seconds}; it must be "
            f"above twice `log_every_seconds` ({config.log_every_seconds}), which is "
            "how long a loop takes."
        )
    if config.seed >= 2**31:
        raise errors.UserError(f"`seed` is {config.seed}; it must be below 2**31.")
    if config.schedule.warmup_epochs > config.num_epochs:
        raise errors.UserError(
            f"`schedule.warmup_epochs` is {config.schedule.warmup_epochs}; it must be "
            f"at most `num_epochs` ({config.num_epochs})."
        )


def _validate_files(config: ml_collections.ConfigDict) -> None:
    given = {
        "data.files.train": config.data.files.train,
        "data.files.test": config.data.files.test,
        "data.num_classes": config.data.num_classes,
    }
    if config.data.files.validation and not config.data.files.train:
        raise errors.UserError(
            f"`data.files.validation` is {config.data.files.validation!r}, but "
            "`data.files.train` is '': name the files to train on, too."
        )
    is_split = config.data.validation == "split"
    if is_split and config.data.files.train and not config.data.files.validation:
        raise errors.UserError(
            "`data.validation` is 'split', but `data.files.validation` is '': name the "
            "files to validate on there, or take 'held_out'."
        )
    missing = [key for key, value in given.items() if not value]
    if 0 < len(missing) < len(given):
        there = next(key for key, value in given.items() if value)
        raise errors.UserError(
            f"`{missing[0]}` is {given[missing[0]]!r}, but `{there}` is "
            f"{given[there]!r}: files that were not prepared need `data.files.train`, "
            "`data.files.test` and `data.num_classes`."
        )


def _validate_global_batch_norm(config: ml_collections.ConfigDict) -> None:
    if config.sam.sync in ("replica", "norm"):
        raise errors.UserError(
            f"`model.batch_norm` is 'global' and `sam.sync` {config.sam.sync!r}: "
            "replicas that ascend apart have no common batch; take `sam.sync` 'global' "
            "or a group's size, or `model.batch_norm` 'replica'."
        )
    if config.accumulate_steps > 1:
        raise errors.UserError(
            f"`model.batch_norm` is 'global' and `accumulate_steps` "
            f"{config.accumulate_steps}: a chunk does not know the statistics of those "
            "after it; take `accumulate_steps` 1, or `model.batch_norm` 'replica'."
        )
