"""The table of models: counts, what each takes, and what it is asked for."""

import inspect

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.config import keys, model_rows, rules
from sam_pod.models import table
from tests.models import numpy_layers

# Trainable parameters of published code, for images of 32 x 32 x 3; those for 1,000
# classes are of 224 x 224 x 3.
COUNTS = [
    ("resnet20", 10, {}, 571_114),
    ("resnet20_he", 10, {}, 269_722),
    ("resnet32", 10, {}, 464_154),
    ("resnet32", 100, {}, 470_004),
    ("resnet32", 10, {"shortcut": "projection"}, 466_906),
    ("resnet56", 10, {}, 853_018),
    ("resnet18", 10, {}, 11_173_962),
    ("wrn16_4", 10, {"shortcut": "projection"}, 2_748_890),
    ("wrn16_8", 10, {"shortcut": "projection"}, 10_961_370),
    ("wrn28_10", 10, {}, 36_220_634),
    ("wrn28_10", 100, {}, 36_278_324),
    ("wrn28_10", 10, {"shortcut": "projection"}, 36_479_194),
    ("wrn40_10", 10, {}, 55_583_194),
    ("wrn40_10", 10, {"normalization": "none"}, 55_556_282),
    ("shake_shake26_2x96d", 10, {}, 26_192_922),
    ("shake_shake26_2x96d", 100, {}, 26_227_572),
    ("pyramidnet110", 10, {}, 28_485_477),
    ("pyramidnet110", 100, {"widths": "truncate"}, 28_511_307),
    ("pyramidnet272", 10, {}, 26_210_842),
    ("pyramidnet272", 100, {}, 26_288_692),
    ("pyramidnet272", 10, {"widths": "truncate"}, 26_046_428),
    ("resnet50", 1000, {}, 25_557_032),
    ("resnet101", 1000, {}, 44_549_160),
    ("resnet152", 1000, {}, 60_192_808),
    ("vit_ti16", 1000, {}, 5_717_416 - 2 * 192),  # Timm's, without its class token.
    ("vit_s32", 1000, {}, 22_878_184),
    ("vit_s16", 1000, {}, 22_049_896),
    ("vit_b32", 1000, {}, 88_222_696),
    ("vit_b16", 1000, {}, 86_566_120),
]


# One of each file is quick to build; the rest are what is of these networks, deeper.
QUICK = ("resnet20", "resnet20_he", "wrn28_10", "shake_shake26_2x96d", "vit_s16")


def rows():
    seen = set()
    for name, classes, ways, count in COUNTS:
        is_quick = name in QUICK and name not in seen
        marks = () if is_quick or "shortcut" in ways else pytest.mark.slow
        seen.add(name)
        yield pytest.param(
            name, classes, ways, count, marks=marks, id=f"{name}-{count}"
        )


def abstract(name, shape, classes, **ways):
    """Return a model whose variables have shapes and no values."""
    with numpy_layers.shapes_alone():
        return table.MODELS[name].build(shape, classes, "float32", **ways)


@pytest.mark.parametrize(("name", "classes", "ways", "count"), list(rows()))
def test_every_network_has_the_parameters_of_its_paper(name, classes, ways, count):
    side = 224 if classes == 1000 else 32
    model = abstract(name, (side, side, 3), classes, **ways)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == count
    assert model.output_shape == (None, classes)
    assert model.output.dtype == "float32"


def test_a_grey_image_costs_a_stem_of_one_channel():
    model = abstract("wrn28_10", (28, 28, 1), 10)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 36_220_346


def test_every_network_of_the_table_is_counted():
    assert {name for name, *_ in COUNTS} == set(table.MODELS)


@pytest.mark.parametrize("name", table.MODELS)
def test_the_config_knows_which_keys_a_network_reads_and_their_defaults(name):
    rows = {row.name: row for row in model_rows.MODEL if name in row.readers}
    reads = table.MODELS[name].reads
    assert {f"model.{key}" for key in reads} == set(rows)
    arguments = inspect.signature(table.MODELS[name].build).parameters
    for key in reads:
        assert arguments[key].default == rows[f"model.{key}"].default


@pytest.mark.parametrize("name", table.MODELS)
def test_images_below_the_least_size_are_refused_and_those_of_it_are_taken(name):
    least = table.MODELS[name].least
    with pytest.raises(errors.UserError, match=f"at least {least} x {least}") as raised:
        table.build(name, (least - 1, least, 3), 5)
    assert "\n" not in str(raised.value)
    table.MODELS[name].check(name, (least, least, 3))


def test_a_name_that_is_none_is_refused_with_the_nearest():
    for name, nearest in (("wrn28-10", "wrn28_10"), ("resnet3", "resnet32")):
        with pytest.raises(errors.UserError, match=f"Did you mean '{nearest}'"):
            table.check_name(name)


@pytest.mark.parametrize("row", [r for r in model_rows.MODEL if r.readers])
def test_a_key_of_other_networks_is_refused_in_one_line(row):
    config = keys.defaults()
    words = ("projection", "none", "truncate", "off")
    value = next(word for word in words if row.rule.holds(word))
    config.model.update({row.name.removeprefix("model."): value})
    for name in ("resnet20", "./mine.keras"):
        config.model.name = name
        with pytest.raises(
            errors.UserError, match=f"^`{row.name}` is '{value}', which .* '{name}'"
        ) as raised:
            rules.validate(config)
        assert "\n" not in str(raised.value)
    config.model.name = row.readers[0]
    rules.validate(config)


def test_a_network_takes_the_keys_that_it_reads_from_the_config():
    settings = {"shortcut": "projection", "name": "x", "normalization": "none"}
    net = table.build("resnet20_he", (8, 8, 3), 10, settings=settings)
    assert net.model.count_params() > 269_722 + 2752
