"""The order of work, the draws, and what is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data import augment
from sam_pod.data.augment import color, erasing, geometry, mixing, policies

OPTIONS = augment.Options(
    crop_padding=2,
    brightness_delta=0.3,
    cutout_size=3,
    cutout_fill=(0.1, 0.2, 0.3),
    num_classes=5,
)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return tf.constant(rng.integers(0, 256, (50, 6, 8, 3), dtype=np.uint8))


def draw(count=augment.NUM_DRAWS, key=(1, 2)):
    return augment.draws(tf.constant(key), 50, count)


def test_draws_are_a_function_of_the_key():
    assert draw().shape == (50, augment.NUM_DRAWS)
    np.testing.assert_array_equal(draw(), draw())
    assert np.abs(draw() - draw(key=(1, 3))).max() > 0.5
    assert 0 <= draw().numpy().min() < draw().numpy().max() < 1


def test_draws_are_the_kernels_and_the_same_compiled():
    key = tf.constant([1, 2])
    np.testing.assert_array_equal(draw(), tf.random.stateless_uniform([50, 4], key))
    compiled = tf.function(lambda k: augment.draws(k, 50, 9), jit_compile=True)
    np.testing.assert_array_equal(draw(9), compiled(key))


def test_more_draws_leave_the_first_as_they_are():
    more = draw(9)
    assert more.shape == (50, 9)
    np.testing.assert_array_equal(more[:, : augment.NUM_DRAWS], draw())
    assert len(np.unique(more)) == 50 * 9


def test_standardize_and_to_float(images):
    result = augment.standardize(
        augment.to_float(images), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    )
    expected = (images.numpy() / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_the_first_three_names_mean_what_they_meant(images):
    def built(names):
        built = augment.build(names, OPTIONS)
        assert built.num_draws == augment.NUM_DRAWS
        assert built.mix is None
        assert not built.mixes_pairs
        return built.images(images, draw()).numpy()

    np.testing.assert_allclose(built(""), images / 255, atol=1e-6)
    every = geometry.crop(images, draw()[:, :2], 2)
    every = augment.to_float(geometry.flip(every, draw()[:, 2]))
    every = color.brightness(every, draw()[:, 3], 0.3)
    np.testing.assert_array_equal(built("crop, flip,brightness"), every)
    np.testing.assert_array_equal(built("brightness,flip,crop"), every)


def test_what_the_input_mirrors_is_not_mirrored_again(images):
    built = augment.build("inception,flip,brightness", OPTIONS)
    expected = color.brightness(augment.to_float(images), draw()[:, 3], 0.3)
    np.testing.assert_array_equal(built.images(images, draw()), expected)


def test_the_step_does_all_but_what_the_input_did():
    names = augment.parse("cutout, flip,inception,crop")
    assert augment.in_step(names) == ["crop", "cutout"]
    assert augment.in_step(names - {"inception"}) == ["crop", "flip", "cutout"]


def test_everything_at_once_is_done_in_order(images):
    built = augment.build(
        "cutmix,mixup,cutout,color_jitter,autoaugment,flip,crop", OPTIONS
    )
    assert built.num_draws == 4 + 5 + 4 + 2 + 4
    assert built.mixes_pairs
    uniform = draw(built.num_draws)
    every = geometry.crop(images, uniform[:, :2], 2)
    every = geometry.flip(every, uniform[:, 2])
    every = policies.autoaugment("cifar10", (6, 8))(every, uniform[:, 4:9])
    every = color.jitter(augment.to_float(every), uniform[:, 9:13])
    every = erasing.cutout(every, uniform[:, 13:15], 3, (0.1, 0.2, 0.3))
    np.testing.assert_array_equal(built.images(images, uniform), every)
    classes = tf.range(50) % 5
    found = built.mix(every, classes, uniform)
    expected = mixing.either(
        every, mixing.soften(classes, 5), uniform[:, 15:], 1.0, 1.0
    )
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ["autoaugment", "randaugment"])
def test_a_policy_may_come_before_crop_and_flip(images, name):
    """Of the same draws, as the paper's code has it."""
    options = dataclasses.replace(OPTIONS, policy_place="before", crop_fill="reflect")
    built = augment.build(f"crop,flip,{name}", options)
    uniform = draw(built.num_draws)
    policy = {
        "autoaugment": policies.autoaugment("cifar10", (6, 8)),
        "randaugment": policies.randaugment(2, 9, (6, 8)),
    }[name]
    moved = policy(images, uniform[:, 4:])
    expected = geometry.crop(moved, uniform[:, :2], 2, around="reflect")
    expected = augment.to_float(geometry.flip(expected, uniform[:, 2]))
    np.testing.assert_array_equal(built.images(images, uniform), expected)
    after = augment.build(f"crop,flip,{name}", OPTIONS).images(images, uniform)
    assert np.abs(after - expected).max() > 0
    order = augment.in_step({"crop", "flip", name, "cutout"}, "before")
    assert order == [name, "crop", "flip", "cutout"]


def test_randaugment_has_its_layers(images):
    options = augment.Options(randaugment_layers=3, randaugment_magnitude=7)
    built = augment.build("randaugment", options)
    uniform = draw(built.num_draws)
    policy = policies.randaugment(3, 7, (6, 8))
    np.testing.assert_array_equal(
        built.images(images, uniform),
        augment.to_float(policy(images, uniform[:, 4:10])),
    )


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_one_way_of_mixing_with_smooth_labels(images, name):
    options = augment.Options(
        label_smoothing=0.1, num_classes=5, mixup_alpha=0.3, cutmix_alpha=0.6
    )
    built = augment.build(name, options)
    uniform = draw(built.num_draws)
    floats, classes = augment.to_float(images), tf.range(50) % 5
    found = built.mix(floats, classes, uniform)
    mix = getattr(mixing, name)
    alpha = {"mixup": 0.3, "cutmix": 0.6}[name]
    a, b = mix(floats, mixing.soften(classes, 5), uniform[:, 4:], alpha)
    np.testing.assert_array_equal(found[0], a)
    np.testing.assert_array_equal(found[1], mixing.smooth(b, 0.1))


def test_smooth_labels_alone_leave_the_images(images):
    options = augment.Options(label_smoothing=0.5, num_classes=2)
    built = augment.build("", options)
    assert (built.num_draws, built.mixes_pairs) == (augment.NUM_DRAWS, False)
    found, labels = built.mix(images, tf.constant([0] * 50), draw())
    assert found is images
    np.testing.assert_array_equal(labels, [[0.75, 0.25]] * 50)


@pytest.mark.parametrize(
    ("names", "policy", "message"),
    [
        ("flip,crpo", "cifar10", r"data\.augment.*'crpo'.*'crop'\?"),
        ("autoaugment", "imagent", r"data\.autoaugment_policy.*'imagenet'\?"),
        ("randaugment,autoaugment", "cifar10", "two ways to do the same"),
        (
            "batch_cutout,cutout",
            "cifar10",
            "one place for the whole batch: take one",
        ),
    ],
)
def test_what_cannot_be_is_refused(names, policy, message):
    with pytest.raises(errors.UserError, match=message):
        augment.build(names, augment.Options(autoaugment_policy=policy))


def test_batch_cutout_hides_one_place_in_all_images_of_a_step(images):
    built = augment.build("batch_cutout,mixup", OPTIONS)
    whole = draw(built.num_draws)
    own = built.of_rows(whole, tf.range(20, 30))
    np.testing.assert_array_equal(own[:, :-2], whole[20:30, :-2])
    np.testing.assert_array_equal(own[:, -2:], np.tile(whole[:1, -2:], (10, 1)))
    found = built.images(images[20:30], own)
    changed = (found != augment.to_float(images[20:30])).numpy().any(-1)
    assert changed[0].any() and (changed == changed[0]).all()
    expected = erasing.cutout(
        augment.to_float(images[20:30]), own[:, -2:], 3, OPTIONS.cutout_fill
    )
    np.testing.assert_array_equal(found, expected)
