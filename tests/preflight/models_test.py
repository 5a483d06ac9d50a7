"""The table of models is what the docs show; the compiler's part where it is there."""

import pathlib

import keras
import pytest

from sam_pod.models import operations, table
from sam_pod.preflight import __main__ as main_lib
from sam_pod.preflight import models

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


@pytest.mark.slow
def test_the_docs_show_the_table_that_the_command_prints():
    names = models.check_names(["all"])
    assert list(models.lines(names, lambda: None)) == shown()


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


def test_a_network_that_is_none_is_refused_with_the_nearest(capsys):
    assert main_lib.main(["preflight", "--models=resnet20,resnet51"]) == 1
    line = capsys.readouterr().err
    assert "Did you mean 'resnet56'?" in line and "one of ['all', 'pyramidnet" in line
