"""What of a config augmentation refuses, and that each key arrives."""

import pytest

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.data import augment
from sam_pod.run import augmentation
from tests import fixtures

KEYS = {  # A value of each, other than the default.
    "crop_padding": 3,
    "crop_fill": "reflect",
    "brightness_delta": 0.25,
    "autoaugment_policy": "imagenet",
    "policy_place": "before",
    "randaugment_layers": 4,
    "randaugment_magnitude": 3,
    "cutout_size": 5,
    "mixup_alpha": 0.3,
    "cutmix_alpha": 0.6,
    "label_smoothing": 0.2,
}


@pytest.fixture
def manifest(tmp_path):
    return fixtures.write_data(tmp_path / "data")


def configured(names, **values):
    found = keys.defaults()
    found.data.augment = names
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (found[section] if section else found)[name] = value
    return found


def test_every_key_arrives(manifest, monkeypatch):
    seen = []
    build = augment.build
    monkeypatch.setattr(
        augment,
        "build",
        lambda names, options: seen.append(options) or build("", options),
    )
    values = {f"data.{key}": value for key, value in KEYS.items()}
    augmentation.build(configured("", **values), manifest, (8, 8, 3), 1)
    expected = {**KEYS, "cutout_fill": manifest.mean, "num_classes": 4}
    assert seen == [augment.Options(**expected)]
    assert expected.keys() == set(augment.Options.__dataclass_fields__)


@pytest.mark.parametrize(
    ("replicas", "micro_batches", "batch", "multiple"),
    [(1, 1, 15, 2), (3, 1, 15, 6), (2, 2, 12, 8)],
)
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_pairs_need_even_parts(
    manifest, name, replicas, micro_batches, batch, multiple
):
    values = {"global_batch_size": batch, "sam.micro_batches": micro_batches}
    for names in (name, "flip"):
        made = configured(names, **values)
        if names == "flip":
            augmentation.build(made, manifest, (8, 8, 3), replicas)
            continue
        with pytest.raises(errors.UserError, match=f"a multiple of {multiple}\\."):
            augmentation.build(made, manifest, (8, 8, 3), replicas)
    made = configured(name, **{**values, "global_batch_size": 2 * multiple})
    assert augmentation.build(made, manifest, (8, 8, 3), replicas).mixes_pairs


@pytest.mark.parametrize("name", ["autoaugment", "randaugment", "color_jitter"])
def test_colors_need_one_channel_or_three(manifest, name):
    for channels in (1, 3):
        augmentation.build(configured(name), manifest, (8, 8, channels), 1)
    with pytest.raises(errors.UserError, match=f"4 channels: '{name}'"):
        augmentation.build(configured(f"flip,{name}"), manifest, (8, 8, 4), 1)


def test_padding_is_at_most_a_side(manifest):
    values = {"data.crop_padding": 9}
    with pytest.raises(errors.UserError, match=r"crop_padding` is 9.*images, 8\."):
        augmentation.build(configured("crop", **values), manifest, (8, 6, 3), 1)
    augmentation.build(configured("flip", **values), manifest, (8, 6, 3), 1)


def test_padding_that_reflects_is_below_both_sides(manifest):
    values = {"data.crop_padding": 6, "data.crop_fill": "reflect"}
    with pytest.raises(errors.UserError, match="has 5 pixels to show beside the"):
        augmentation.build(configured("crop", **values), manifest, (8, 6, 3), 1)
    augmentation.build(configured("flip", **values), manifest, (8, 6, 3), 1)
    augmentation.build(configured("crop", **values), manifest, (8, 7, 3), 1)


def test_names_are_checked_without_data():
    with pytest.raises(errors.UserError, match="two ways to do the same"):
        augmentation.check_names(configured("autoaugment,randaugment"))


@pytest.mark.parametrize(
    ("names", "micro_batches", "unit"),
    [("flip", 1, 1), ("flip", 3, 3), ("flip, mixup", 1, 2), ("cutmix", 3, 6)],
)
def test_a_batch_is_searched_for_among_those_that_pair(names, micro_batches, unit):
    values = {"sam.micro_batches": micro_batches}
    assert augmentation.batch_unit(configured(names, **values)) == unit
