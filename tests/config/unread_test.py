"""Keys that nothing reads are told; what is read is not."""

import pytest

from sam_pod.config import keys, rows, unread


def told(name, **more):
    config = keys.defaults()
    values = {key.replace("__", "."): value for key, value in more.items()}
    config.update_from_flattened_dict(values)
    return list(unread.lines(config, [name]))


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("schedule.plateau_patience", {"schedule__name": "plateau"}),
        ("data.cutout_size", {"data__augment": "crop, batch_cutout"}),
        ("data.mixup_alpha", {"data__augment": "crop,mixup"}),
        ("data.randaugment_layers", {"data__augment": "randaugment"}),
        ("data.crop_padding", {"data__augment": "crop"}),
        ("data.interpolation", {"data__image_size": 24}),
        ("data.interpolation", {"data__augment": "inception"}),
        ("data.features.label_offset", {"data__files__train": "train-*"}),
        ("optimizer.beta_1", {"optimizer__name": "lamb"}),
        ("optimizer.epsilon", {"optimizer__name": "rmsprop"}),
        ("sharpness.examples", {"sharpness__every_epochs": 2}),
        ("sam.sam_on.eta", {"sam__sam_on__adaptive": True}),
    ],
)
def test_a_key_is_told_where_nothing_reads_it(name, reads):
    (line,) = told(name)
    assert line.startswith(f"`{name}` is ") and "nothing reads it: `" in line
    assert told(name, **reads) == []


@pytest.mark.parametrize("name", ["optimizer.momentum", "optimizer.nesterov"])
def test_adam_has_no_momentum_of_sgd(name):
    assert told(name) == []
    (line,) = told(name, optimizer__name="adam")
    assert line.endswith("nothing reads it: `optimizer.name` is 'adam'.")


def test_a_part_of_a_word_is_not_the_word():
    assert told("data.crop_padding", data__augment="autocrop")


def test_every_key_of_the_table_is_one():
    names = {row.name for row in rows.ROWS}
    for begins, chooser, _ in unread._READ:
        assert chooser in names
        for begin in begins:
            assert any(name.startswith(begin) for name in names), begin
