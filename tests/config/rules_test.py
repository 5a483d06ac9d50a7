"""What the values of a config may be; each error says which key and what rule."""

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules


def test_defaults_are_valid():
    rules.validate(config_lib.defaults())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("global_batch_size", 0, "must be above 0"),
        ("num_epochs", -1, "must be above 0"),
        ("sam.rho", -0.1, "must be 0 or above"),
        ("sam.rho", float("nan"), "must be finite"),
        ("optimizer.learning_rate", float("inf"), "must be finite"),
        ("optimizer.learning_rate", 1e39, "in the range of float32"),
        ("sam.rho", 1e-50, "in the range of float32"),
        ("optimizer.momentum", 1.0, r"must be in \[0, 1\)"),
        ("schedule.plateau_factor", -0.5, r"must be in \[0, 1\)"),
        ("data.randaugment_magnitude", -1, "must be 0 or above"),
        ("data.randaugment_magnitude", 11, "must be 0 or above, and at most 10"),
        ("data.randaugment_layers", 0, "must be above 0"),
        ("data.cutout_size", 0, "must be above 0"),
        ("data.mixup_alpha", 0.0, "must be above 0"),
        ("data.cutmix_alpha", -1.0, "must be above 0"),
        ("data.memory_fraction", 1.5, r"must be in \[0, 1\]"),
        ("data.memory_fraction", -0.5, r"must be in \[0, 1\]"),
        ("data.image_size", -1, "must be 0 or above"),
        ("data.num_classes", -1, "must be 0 or above"),
        ("data.label_noise_kind", "symmetric", "must be 'excluding' or 'including'"),
        ("data.label_noise_kind", "including", "but `data.label_noise` 0: give the"),
        ("data.label_smoothing", 1.0, r"must be in \[0, 1\)"),
        ("data.central_fraction", 1.0, "has no 'inception', so that evaluation"),
        ("data.central_fraction", 0.0, r"must be in \(0, 1\]"),
        ("data.policy_place", "first", "must be 'after' or 'before'"),
        ("data.policy_place", "before", "has no 'autoaugment' or 'randaugment': leave"),
        ("data.interpolation", "nearest", "must be 'bilinear' or 'bicubic'"),
        ("ema.decay", 1.0, r"must be in \[0, 1\)"),
        ("model.initial_checkpoint", "best", "but `model.initial_weights` '': name"),
        ("ema.warmup", False, "but `ema.decay` 0: give the decay"),
        ("dtype", "float16", "must be 'float32' or 'bfloat16'"),
        ("seed", 2**31, "must be below"),
        ("schedule.warmup_epochs", 101.0, "must be at most `num_epochs`"),
        ("model.batch_norm", "all", "must be 'replica' or 'global'"),
        ("sam.micro_batches", 0, "must be above 0"),
        ("accumulate_steps", 0, "must be above 0"),
        ("watchdog.loop_seconds", 10.0, "must be above twice `log_every_seconds`"),
    ],
)
def test_values_out_of_range(key, value, message):
    config = config_lib.defaults()
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = value
    with pytest.raises(errors.UserError, match=f"`{key}` is .*{message}"):
        rules.validate(config)


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [
        ("early_stopping.patience", 3, "take 0"),
        ("early_stopping.restore_best_weights", True, "take False"),
        ("schedule.name", "plateau", "take 'cosine'"),
    ],
)
def test_nothing_looks_at_a_validation_that_is_not_there(key, value, instead):
    config = config_lib.defaults()
    config.data.validation = "none"
    rules.validate(config)
    section, name = key.split(".")
    config[section][name] = value
    message = f"`{key}` is {value!r} and `data.validation` 'none': .*{instead}, or hold"
    with pytest.raises(errors.UserError, match=message):
        rules.validate(config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sam.sync", "replica", "replicas that ascend apart have no common batch"),
        ("sam.sync", "norm", "`sam.sync` 'norm'"),
        ("accumulate_steps", 2, "a chunk does not know the statistics"),
    ],
)
def test_a_common_batch_norm_needs_a_common_batch(key, value, message):
    config = config_lib.defaults()
    config.model.batch_norm = "global"
    rules.validate(config)
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = value
    with pytest.raises(errors.UserError, match=f"`model.batch_norm`.*{message}"):
        rules.validate(config)


@pytest.mark.parametrize(
    ("key", "value", "missing"),
    [
        ("data.num_classes", 10, "data.files.train"),
        ("data.files.train", "train-*", "data.files.test"),
        ("data.files.test", "validation-*", "data.files.train"),
    ],
)
def test_files_of_others_need_all_that_describes_them(key, value, missing):
    config = config_lib.defaults()
    section, _, name = key.rpartition(".")
    config[section][name] = value
    with pytest.raises(errors.UserError, match=f"`{missing}` is '', but `{key}` is"):
        rules.validate(config)


def test_a_policy_is_not_before_what_the_input_cuts():
    config = config_lib.defaults()
    config.data.augment = "inception,flip,randaugment"
    rules.validate(config)
    config.data.policy_place = "before"
    with pytest.raises(errors.UserError, match="'inception' is cut while images are"):
        rules.validate(config)
    config.data.augment = "crop,flip,randaugment"
    rules.validate(config)
