"""The table of models is what the docs show; the compiler's part where it is there."""

import pathlib

import keras
import pytest

from sam_pod.models import operations, table
from sam_pod.preflight import __main__ as main_lib
from sam_pod.preflight import models
from tests.models import table_test

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "models.md"


def shown():
    """Return the lines of the docs' table."""
    text = DOCS.read_text().splitlines()
    first = next(i for i, line in enumerate(text) if line.startswith("| name | least"))
    end = next(i for i in range(first, len(text)) if not text[i].startswith("|"))
    return text[first:end]


def test_the_docs_show_each_network_and_the_lines_that_the_command_prints(capsys):
    names = [line.split("`")[1] for line in shown()[2:]]
    assert names == list(table.MODELS)
    assert main_lib.main(["preflight", "--models=resnet20_he"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert [line for line in shown() if line in printed] == printed


# One of each size of each kind; those that are the same but deeper follow from them.
COUNTED = (
    *("resnet20", "resnet20_he", "resnet18", "wrn16_4", "wrn16_8", "wrn28_10"),
    *("shake_shake26_2x96d", "pyramidnet110", "resnet50"),
    *("vit_ti16", "vit_s32", "vit_s16", "vit_b32", "vit_b16"),
)


@pytest.mark.slow
def test_the_docs_show_the_lines_that_the_command_prints():
    head, rule, *rows = shown()
    printed = list(models.lines(models.check_names(COUNTED), lambda: None))
    assert printed[:2] == [head, rule]
    assert printed[2:] == [row for row in rows if row.split("`")[1] in COUNTED]


def bottleneck(pixels, inputs, width):
    return 2 * pixels * (inputs * width + 9 * width**2 + 4 * width**2)


def gflop_of_deeper():
    """Return what the gradients of the others take, by hand, from those of COUNTED.

    A block of any group takes as many: a quarter of the pixels has twice the channels.
    """
    basic = 4 * 32**2 * 9
    wide, narrow = basic * 160**2, basic * 16**2
    residual = bottleneck(56**2, 256, 64)
    return {
        "resnet32": ("resnet20_he", 3 * 2 * narrow),
        "resnet56": ("resnet20_he", 3 * 6 * narrow),
        "wrn40_10": ("wrn28_10", 3 * 2 * wide),
        "resnet101": ("resnet50", 17 * residual),
        "resnet152": ("resnet50", 34 * residual),
    }


def pyramid_of_bottlenecks():
    """Return the operations of pyramidnet272, by hand."""
    inputs, found = 16, 2 * 32**2 * 9 * 3 * 16
    for block in range(90):
        width = round(16 + 200 * (block + 1) / 90)
        # Of a group's first block the first convolution has the pixels of the last.
        before, after = (4 ** (5 - max(n, 0) // 30) for n in (block - 1, block))
        found += 2 * before * inputs * width + 2 * after * 13 * width**2
        inputs = 4 * width
    return found + 2 * inputs * 10


def test_the_docs_figures_of_deeper_networks_are_those_by_hand():
    rows = {line.split("`")[1]: line.split(" | ") for line in shown()[2:]}
    gflop = {name: float(cells[3]) for name, cells in rows.items()}
    for name, (shallow, more) in gflop_of_deeper().items():
        assert gflop[name] == pytest.approx(gflop[shallow] + 3e-9 * more, rel=0.004)
    assert gflop["pyramidnet272"] == float(f"{3e-9 * pyramid_of_bottlenecks():.3g}")
    for name in rows.keys() - set(COUNTED):
        row, (_, least, parameters, _, of) = table.MODELS[name], rows[name]
        assert least == f"{row.least} x {row.least}"
        counts = {c for n, _, ways, c in table_test.COUNTS if n == name and not ways}
        assert int(parameters.replace(",", "")) in counts
        assert of == f"{row.of} |"


def test_operations_are_those_of_the_products_by_hand():
    """A convolution, one by channel, a dense layer, and attention of two heads."""
    images = keras.Input((6, 4, 3))
    x = keras.layers.Conv2D(8, 3, 2, padding="same")(images)  # 3 x 2 pixels.
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Reshape((6, 8))(x)
    x = keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(images, keras.layers.Dense(5)(x))
    convolutions = 6 * 8 * 9 * 3 + 6 * 8 * 9
    attention = 4 * 6 * 8 * 8 + 2 * 2 * 6 * 6 * 4
    expected = 2 * (convolutions + attention + 8 * 5)
    assert operations.of_forward(model, (6, 4, 3)) == expected


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--members", "--output=x.json", "--execute"], "--output, --execute"),
        (["--members", "--topology=v5e:4x4"], "--topology"),
        (["--models=resnet20", "--html=x.html"], "--html"),
        (
            ["--models=resnet20", "--image_shape=8,8,3", "--num_classes=9"],
            "--image_shape, --num_classes",
        ),
    ],
)
def test_a_table_refuses_flags_that_it_does_not_read(words, named, capsys):
    assert main_lib.main(["preflight", *words]) == 1
    assert f"a table and does not read {named}: leave" in capsys.readouterr().err


def test_a_network_that_is_none_is_refused_with_the_nearest(capsys):
    assert main_lib.main(["preflight", "--models=resnet20,resnet51"]) == 1
    line = capsys.readouterr().err
    assert "Did you mean 'resnet56'?" in line and "one of ['all', 'pyramidnet" in line
