"""Augmentation inside the compiled step: pure functions of a batch and its draws.

Images come to the device as uint8, a quarter of the bytes. The draws of a whole global
batch are made from one key and each replica takes its own rows, so an example is
augmented alike however many replicas there are.

    geometry, operations, policies, tables   uint8 images, by whole numbers
    color, erasing                           float32 images in [0, 1]
    mixing                                   images and labels, after standardization

Nothing here gathers single bytes, has a shape that depends on data or needs tf.image:
it compiles for a TPU and is the same on every device.
"""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from sam_pod import errors
from sam_pod.data.augment import color, erasing, geometry, mixing, policies

# The uniform numbers of every example: crop row, crop column, flip, brightness.
NUM_DRAWS = 4
_SHARED_DRAWS = 2  # Row and column of the square that 'batch_cutout' hides.
NAMES = (
    "inception",  # Done by the input, with the flip: see data/input/views.py.
    "crop",
    "flip",
    "autoaugment",
    "randaugment",
    "brightness",
    "color_jitter",
    "cutout",
    "batch_cutout",
    "mixup",
    "cutmix",
)

POLICIES = ("autoaugment", "randaugment")
AFTER, BEFORE = POLICY_PLACES = ("after", "before")  # Crop and flip.

Images = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Settings that `names` may need: the keys of the same names in section `data`."""

    crop_padding: int = 4
    crop_fill: str = geometry.ZERO  # What the added pixels are; or geometry.REFLECT.
    brightness_delta: float = 0.5
    autoaugment_policy: str = "cifar10"
    policy_place: str = AFTER
    randaugment_layers: int = 2
    randaugment_magnitude: int = 9
    cutout_size: int = 16
    cutout_fill: Sequence[float] = (0.5,)  # In [0, 1], one number or one per channel.
    mixup_alpha: float = 1.0
    cutmix_alpha: float = 1.0
    label_smoothing: float = 0.0
    num_classes: int = 1


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a batch, and how many uniform numbers an example needs."""

    names: frozenset[str]
    # (uint8 images [B, H, W, C], draws [B, num_draws]) -> float32 images in [0, 1].
    images: Images
    # (standardized images, int32 labels [B], draws) -> (images, labels [B, K]); None
    # when neither images nor labels are mixed.
    mix: Mix | None
    num_draws: int
    mixes_pairs: bool  # A replica's micro-batch must then be even.
    num_shared: int = 0  # So many draws, the last ones, are one for the whole batch.

    def of_rows(self, uniform: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Return the draws of some rows of the global batch.

        Args:
            uniform: As returned by `draws`, `[G, num_draws]`.
            rows: Which rows, `[B]`.
        """
        own = tf.gather(uniform, rows)
        if not self.num_shared:
            return own
        of_all = tf.repeat(uniform[:1, -self.num_shared :], rows.shape[0], axis=0)
        return tf.concat([own[:, : -self.num_shared], of_all], 1)


def draws(
    key: tf.Tensor, global_batch_size: int, num_draws: int = NUM_DRAWS
) -> tf.Tensor:
    """Return the random numbers of a global batch: float32 in [0, 1), `[G, N]`.

    The first NUM_DRAWS are the same however many there are.
    """
    first = _uniform([global_batch_size, NUM_DRAWS], key)
    if num_draws == NUM_DRAWS:
        return first
    # Not by fold_in, which leaves it to the device how it draws.
    another = tf.bitwise.bitwise_xor(key, [1 << 30, 0])
    more = _uniform([global_batch_size, num_draws - NUM_DRAWS], another)
    return tf.concat([first, more], 1)


def _uniform(shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    """Return float32 in [0, 1), the same on every device.

    TensorFlow's kernels make a float of the lower 23 bits of a random number, XLA of
    the upper ones: this does as the kernels do.
    """
    bits = tf.random.stateless_uniform(
        shape, key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.cast(bits & 0x7FFFFF, tf.float32) * 2.0**-23


def parse(names: str) -> set[str]:
    """Return the names of NAMES that commas join."""
    return {name.strip() for name in names.split(",") if name.strip()}


def in_step(chosen: set[str], policy_place: str = AFTER) -> list[str]:
    """Return what the step does of the names that are chosen, in order."""
    by_input = {"inception", "flip"} if "inception" in chosen else set()
    first = POLICIES if policy_place == BEFORE else ()
    order = (*first, *(name for name in NAMES if name not in first))
    return [name for name in order if name in chosen - by_input]


def mixes_pairs(chosen: set[str]) -> bool:
    """Return whether examples are mixed in twos: a replica's must then be even."""
    return bool({"mixup", "cutmix"} & chosen)


def build(names: str, options: Options) -> Augmentation:
    """Return the augmentation that `names` lists.

    Args:
        names: Some of NAMES, joined by commas; '' for none. The order of work is always
            that of NAMES, but the input's part comes first, and a policy comes before
            all of the step's where `policy_place` says so; images are scaled to [0, 1]
            before 'brightness'. With both 'mixup' and 'cutmix' each pair of examples
            draws one.
        options: The settings that they need.

    Raises:
        UserError: a name that is not known, or two that exclude each other.
    """
    chosen = parse(names)
    for name in sorted(chosen):
        errors.lookup(dict.fromkeys(NAMES), name, "data.augment")
    if {"autoaugment", "randaugment"} <= chosen:
        raise errors.UserError(
            f"`data.augment` is {names!r}; 'autoaugment' and 'randaugment' are two "
            "ways to do the same: take one of them."
        )
    if {"cutout", "batch_cutout"} <= chosen:
        raise errors.UserError(
            f"`data.augment` is {names!r}; 'cutout' hides a square of each image at a "
            "place of its own, 'batch_cutout' at one place for the whole batch: take "
            "one of them."
        )
    errors.lookup(dict.fromkeys(geometry.FILLS), options.crop_fill, "data.crop_fill")
    if "autoaugment" in chosen:
        policy = options.autoaugment_policy
        errors.lookup(policies.AUTOAUGMENT, policy, "data.autoaugment_policy")
    widths = {
        "autoaugment": policies.AUTOAUGMENT_DRAWS,
        "randaugment": 2 * options.randaugment_layers,
        "color_jitter": color.JITTER_DRAWS,
        "cutout": 2,
        "mixing": mixing.DRAWS,
        "batch_cutout": _SHARED_DRAWS,
    }
    pairs = mixes_pairs(chosen)
    columns, end = {}, NUM_DRAWS
    for name, width in widths.items():
        if name in chosen or (name == "mixing" and pairs):
            columns[name] = slice(end, end + width)
            end += width
    softens = pairs or options.label_smoothing > 0
    mix = _mix(chosen, columns.get("mixing"), options) if softens else None
    return Augmentation(
        frozenset(chosen),
        _images(chosen, columns, options),
        mix,
        end,
        pairs,
        num_shared=_SHARED_DRAWS if "batch_cutout" in chosen else 0,
    )


def _images(chosen: set[str], columns: dict[str, slice], options: Options) -> Images:
    inside = in_step(chosen)
    policy = _policy(chosen, columns, options)

    def augment(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        if options.policy_place == BEFORE:
            images = policy(images, uniform)
        flips = uniform[:, 2] if "flip" in inside else None
        if "crop" in chosen:
            padding = options.crop_padding
            images = geometry.crop(
                images, uniform[:, 0:2], padding, flips, options.crop_fill
            )
        elif flips is not None:
            images = geometry.flip(images, flips)
        if options.policy_place == AFTER:
            images = policy(images, uniform)
        images = to_float(images)
        if "brightness" in chosen:
            images = color.brightness(images, uniform[:, 3], options.brightness_delta)
        if "color_jitter" in chosen:
            images = color.jitter(images, uniform[:, columns["color_jitter"]])
        for name in ("cutout", "batch_cutout"):
            if name in chosen:
                images = erasing.cutout(
                    images,
                    uniform[:, columns[name]],
                    options.cutout_size,
                    options.cutout_fill,
                )
        return images

    return augment


def _policy(chosen: set[str], columns: dict[str, slice], options: Options) -> Images:
    """Return what AutoAugment or RandAugment does, on uint8 images and all draws."""

    def augment(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        size = (images.shape[1], images.shape[2])
        if "autoaugment" in chosen:
            policy = policies.autoaugment(options.autoaugment_policy, size)
            images = policy(images, uniform[:, columns["autoaugment"]])
        if "randaugment" in chosen:
            policy = policies.randaugment(
                options.randaugment_layers, options.randaugment_magnitude, size
            )
            images = policy(images, uniform[:, columns["randaugment"]])
        return images

    return augment


def _mix(chosen: set[str], columns: slice | None, options: Options) -> Mix:
    def mix(
        images: tf.Tensor, labels: tf.Tensor, uniform: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        labels = mixing.soften(labels, options.num_classes)
        alphas = options.mixup_alpha, options.cutmix_alpha
        if {"mixup", "cutmix"} <= chosen:
            images, labels = mixing.either(images, labels, uniform[:, columns], *alphas)
        elif "mixup" in chosen:
            images, labels = mixing.mixup(
                images, labels, uniform[:, columns], alphas[0]
            )
        elif "cutmix" in chosen:
            images, labels = mixing.cutmix(
                images, labels, uniform[:, columns], alphas[1]
            )
        if options.label_smoothing > 0:
            labels = mixing.smooth(labels, options.label_smoothing)
        return images, labels

    return mix


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Scale uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) * (1.0 / 255.0)


def standardize(
    images: tf.Tensor, mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """Subtract the mean of each channel and divide by its standard deviation."""
    return (images - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)
