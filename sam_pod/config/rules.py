"""The rules that the values of a config must keep, alone and together."""

import ml_collections

from sam_pod import errors
from sam_pod.config import family_rules, readers, rows, schedule_rules
from sam_pod.config import keys as config_lib
from sam_pod.storage import schemes

SEED_LIMIT = 2**31


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse values outside their range.

    Names that choose an implementation are checked where they are looked up.

    Raises:
        UserError: with the key, its value and the rule.
    """
    flat = config_lib.flatten(config)
    for key, value in flat.items():
        config_lib.check_size(key, value)
    for key, value in flat.items():
        if isinstance(value, float) and not _is_in_float32(value):
            raise errors.UserError(
                f"`{key}` is {value}; it must be finite, in the range of float32."
            )
    for row in rows.ROWS:
        if not row.rule.holds(flat[row.name]):
            raise errors.UserError(
                f"`{row.name}` is {flat[row.name]!r}; it must be {row.rule.words}."
            )
    for key, value in flat.items():
        if isinstance(value, str):
            schemes.check_credentials(value, f"`{key}`")
    family_rules.validate(config)
    for chooser in ("model.name", "schedule.name", "optimizer.name"):
        readers.check(config, chooser)
    schedule_rules.validate(config)
    _validate_files(config)
    _validate_what_needs_another(config)
    if config.model.batch_norm == "global":
        _validate_global_batch_norm(config)
    if config.watchdog.loop_seconds <= 2 * config.log_every_seconds:
        raise errors.UserError(
            f"`watchdog.loop_seconds` is {config.watchdog.loop_seconds}; it must be "
            f"above twice `log_every_seconds` ({config.log_every_seconds}), which is "
            "how long a loop takes."
        )
    if config.seed >= SEED_LIMIT:
        raise errors.UserError(
            f"`seed` is {config.seed}; it must be below {SEED_LIMIT}."
        )
    if config.schedule.warmup_epochs > config.num_epochs:
        raise errors.UserError(
            f"`schedule.warmup_epochs` is {config.schedule.warmup_epochs}; it must be "
            f"at most `num_epochs` ({config.num_epochs})."
        )


def _is_in_float32(value: float) -> bool:
    return value == 0 or 1e-37 < abs(value) < 1e37


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


def _validate_what_needs_another(config: ml_collections.ConfigDict) -> None:
    """Refuse a key that does nothing, or cannot, beside the value of another."""
    if config.data.central_fraction != 0.875 and "inception" not in config.data.augment:
        raise errors.UserError(
            f"`data.central_fraction` is {config.data.central_fraction}, but "
            "`data.augment` has no 'inception', so that evaluation sees what training "
            "does: leave it at 0.875, or add 'inception'."
        )
    if config.data.policy_place != "after":
        _validate_policy_place(config)
    if config.model.initial_checkpoint != "latest" and not config.model.initial_weights:
        raise errors.UserError(
            f"`model.initial_checkpoint` is {config.model.initial_checkpoint!r}, but "
            "`model.initial_weights` '': name the run's workdir there, or leave it at "
            "'latest'."
        )
    if not config.ema.warmup and not config.ema.decay:
        raise errors.UserError(
            "`ema.warmup` is False, but `ema.decay` 0: give the decay, such as 0.9999, "
            "or leave the warmup at True."
        )
    if config.data.validation == "none":
        _validate_without_validation(config)
    if config.data.label_noise_kind != "excluding" and not config.data.label_noise:
        raise errors.UserError(
            f"`data.label_noise_kind` is {config.data.label_noise_kind!r}, but "
            "`data.label_noise` 0: give the share of the labels, such as 0.4, or leave "
            "the kind at 'excluding'."
        )


def _validate_policy_place(config: ml_collections.ConfigDict) -> None:
    place, names = config.data.policy_place, config.data.augment
    if "autoaugment" not in names and "randaugment" not in names:
        raise errors.UserError(
            f"`data.policy_place` is {place!r}, but `data.augment` {names!r} has no "
            "'autoaugment' or 'randaugment': leave it at 'after', or add one."
        )
    if "inception" in names:
        raise errors.UserError(
            f"`data.policy_place` is {place!r} and `data.augment` {names!r}, whose "
            "'inception' is cut while images are read, before the step has them: leave "
            "it at 'after', or take 'crop'."
        )


def _validate_without_validation(config: ml_collections.ConfigDict) -> None:
    for key, value, looks, instead in (
        (
            "early_stopping.patience",
            config.early_stopping.patience,
            config.early_stopping.patience > 0,
            0,
        ),
        (
            "early_stopping.restore_best_weights",
            config.early_stopping.restore_best_weights,
            config.early_stopping.restore_best_weights,
            False,
        ),
        (
            "schedule.name",
            config.schedule.name,
            config.schedule.name == "plateau",
            "cosine",
        ),
    ):
        if looks:
            raise errors.UserError(
                f"`{key}` is {value!r} and `data.validation` 'none': no epoch is known "
                f"to be better than another; take {instead!r}, or hold examples out "
                "with 'held_out'."
            )


def _validate_global_batch_norm(config: ml_collections.ConfigDict) -> None:
    if config.model.remat != "none":
        raise errors.UserError(
            f"`model.batch_norm` is 'global' and `model.remat` {config.model.remat!r}: "
            "what is computed again would be exchanged again; take `model.batch_norm` "
            "'replica', or `model.remat` 'none'."
        )
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
