"""Layers that augment images: refused where a model alone cannot do what they do."""

import logging

import keras
import pytest

from sam_pod import errors
from sam_pod.models import image_layers, keras_file

L = keras.layers


def model(layer, channels=3):
    images = keras.Input((8, 8, channels))
    return keras.Model(images, L.Dense(4)(L.Flatten()(layer(images))))


class Mine(keras.layers.MixUp):
    pass


@pytest.mark.parametrize(
    ("make", "name", "word"),
    [
        (lambda: L.MixUp(name="mix"), "'mix' (MixUp)", "mixup"),
        (lambda: L.CutMix(name="mix"), "'mix' (CutMix)", "cutmix"),
        (lambda: Mine(name="mix"), "'mix' (Mine)", "mixup"),
        (lambda: L.Pipeline([L.MixUp(name="mix")]), "'mix' (MixUp)", "mixup"),
        (
            lambda: keras.Sequential([L.RandomFlip(), L.CutMix(name="mix")]),
            "'mix' (CutMix)",
            "cutmix",
        ),
    ],
)
def test_a_layer_that_mixes_images_and_not_labels_is_refused(make, name, word, caplog):
    caplog.set_level(logging.INFO, "absl")
    net = model(make())
    with pytest.raises(errors.UserError) as raised:
        image_layers.check_mixing("m.keras", net, begun=False)
    line = str(raised.value)
    assert name in line
    assert f"set `data.augment` to '{word}'" in line
    assert "\n" not in line
    image_layers.check_mixing("m.keras", net, begun=True)  # An older version's run.
    assert line in caplog.text


def test_augmix_is_refused_for_it_draws_once(caplog):
    net = model(keras.Sequential([L.AugMix(name="mine")]))
    with pytest.raises(
        errors.UserError, match=r"'mine' \(AugMix\), which draws .*same"
    ):
        image_layers.check_mixing("m.keras", net, begun=False)
    image_layers.check_mixing("m.keras", net, begun=True)
    assert "'mine' (AugMix)" in caplog.text


@pytest.mark.parametrize("layer", [L.RandAugment(), L.RandomErasing(), L.RandomFlip()])
def test_layers_that_leave_labels_are_taken(layer):
    image_layers.check_mixing("m.keras", model(layer), begun=False)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "make",
    [
        L.RandAugment,
        lambda: L.RandomHue(0.5),
        lambda: L.RandomSaturation(0.5),
        lambda: L.RandomGrayscale(0.5),
        lambda: L.RandomColorDegeneration(0.5),
        lambda: keras.Sequential([L.RandomColorJitter(saturation_factor=0.5)]),
    ],
)
def test_a_layer_for_colours_is_named_where_there_are_none(make, channels, tmp_path):
    path, layer = str(tmp_path / "m.keras"), make()
    model(layer, channels).save(path)
    with pytest.raises(errors.UserError, match="takes images of 3 channels") as raised:
        keras_file.load(path, (8, 8, channels), 4, "float32")
    line = str(raised.value)
    assert f"these have {channels}" in line
    assert ("set `data.channels` to 3" in line) == (channels == 1)
    assert "\n" not in line
    assert len(line) < 400 + len(path)


def test_other_layers_take_grey_images(tmp_path):
    path = str(tmp_path / "m.keras")
    model(L.RandomColorJitter(brightness_factor=0.1), 1).save(path)
    assert keras_file.load(path, (8, 8, 1), 4, "float32").draws_by_batch
