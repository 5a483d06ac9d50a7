"""The keys of the data: where it is, how it is seen, how it is augmented."""

from sam_pod.config.row import (
    ABOVE_0,
    ABOVE_0_UP_TO_1,
    AT_LEAST_0,
    BELOW_1,
    CHANNELS,
    FREE,
    UP_TO_1,
    UP_TO_10,
    VALIDATION,
    Row,
    one_of,
)

# How wrong labels are drawn; see data/prepare/noise.py.
NOISE_KINDS = ("excluding", "including", "asymmetric")

_AUGMENT = (
    Row(
        "data.augment",
        "",
        "Some of 'inception', 'crop', 'flip', 'autoaugment', 'randaugment', "
        "'brightness', 'color_jitter', 'cutout', 'batch_cutout', 'mixup' and 'cutmix', "
        "joined by commas; done in this order, but with 'inception' the flip is done "
        "at once.",
    ),
    Row("data.crop_padding", 4, "Pixels added on each side, then cut.", AT_LEAST_0),
    Row(
        "data.crop_fill",
        "zero",
        "What these pixels are: 'zero', or 'reflect', the image mirrored about its "
        "outermost pixels, as in the paper's code.",
        one_of("zero", "reflect"),
    ),
    Row(
        "data.brightness_delta",
        0.5,
        "Largest change of brightness, of pixels in [0, 1].",
        AT_LEAST_0,
    ),
    Row("data.autoaugment_policy", "cifar10", "'cifar10' or 'imagenet'."),
    Row(
        "data.policy_place",
        "after",
        "Where 'autoaugment' or 'randaugment' stands: 'after' crop and flip, or "
        "'before' them, as in AutoAugment's and the paper's code.",
        one_of("after", "before"),
    ),
    Row("data.randaugment_layers", 2, "Operations on each image.", ABOVE_0),
    Row("data.randaugment_magnitude", 9, "Strength of the operations.", UP_TO_10),
    Row(
        "data.cutout_size",
        16,
        "Pixels of the hidden square's side, of 'cutout', at a place for each image, "
        "and 'batch_cutout', at one for the whole batch, as in the paper's code.",
        ABOVE_0,
    ),
    Row(
        "data.mixup_alpha",
        1.0,
        "An example's own share is drawn from Beta(alpha, alpha).",
        ABOVE_0,
    ),
    Row(
        "data.cutmix_alpha",
        1.0,
        "The box has 1 - s of the area, with s drawn from Beta(alpha, alpha).",
        ABOVE_0,
    ),
    Row(
        "data.label_smoothing",
        0.0,
        "Part of a label that all classes share.",
        BELOW_1,
    ),
)

DATA = (
    Row("data.name", "cifar10", "Name of a data set that the run prepares by itself."),
    Row(
        "data.dir",
        "data/cifar10",
        "Folder of the prepared data set, or of TFRecords of others.",
        change=FREE,
        is_path=True,
    ),
    Row(
        "data.label_noise",
        0.0,
        "Share of the training labels, those held out for validation among them, that "
        "are drawn again when the run prepares its data; data that are there already "
        "must have it. 0: as they are.",
        UP_TO_1,
    ),
    Row(
        "data.label_noise_kind",
        "excluding",
        "What such a label becomes: 'excluding', another class, each as likely; "
        "'including', any class, the true one too; 'asymmetric', the class that "
        "CIFAR-10's is taken for. Papers call both of the first symmetric.",
        one_of(*NOISE_KINDS),
    ),
    *_AUGMENT,
    Row(
        "data.standardize",
        False,
        "Subtract the mean of the training split, divide by its deviation.",
    ),
    Row(
        "data.validation",
        "held_out",
        "Validation is on training examples that are held out, on a split, or there is "
        "none: then the last epoch counts, and nothing may look at one.",
        VALIDATION,
    ),
    Row(
        "data.validation_examples",
        5000,
        "Examples held out of the training split.",
        ABOVE_0,
    ),
    Row(
        "data.image_size",
        0,
        "Side of the square that the model sees, in pixels; 0 is the stored size.",
        AT_LEAST_0,
    ),
    Row(
        "data.interpolation",
        "bilinear",
        "How images of another size are scaled to it: 'bilinear' or 'bicubic'.",
        one_of("bilinear", "bicubic"),
    ),
    Row(
        "data.central_fraction",
        0.875,
        "Share of the shorter side that evaluation sees where training sees parts, "
        "'inception': the middle 224 of 256 pixels.",
        ABOVE_0_UP_TO_1,
    ),
    Row("data.channels", 0, "Channels that the model sees.", CHANNELS),
    Row(
        "data.memory_fraction",
        0.25,
        "Share of this machine's memory: decoded images that fit in are held, others "
        "streamed.",
        UP_TO_1,
        FREE,
    ),
    Row(
        "data.files.train",
        "",
        "TFRecord files that sam_pod.data.prepare has not written, by their names, "
        "such as 'train-*'.",
    ),
    Row("data.files.test", "", "Likewise, such as 'validation-*' or 'validation/*'."),
    Row("data.files.validation", "", "Likewise, where data.validation is 'split'."),
    Row(
        "data.features.image",
        "image",
        "Feature of such files that holds the image, such as 'image/encoded'.",
    ),
    Row(
        "data.features.label",
        "label",
        "Feature of such files that holds the label, such as 'image/class/label'.",
    ),
    Row(
        "data.features.label_offset",
        0,
        "Added to the labels of such files; -1 where they start at 1.",
    ),
    Row("data.num_classes", 0, "Classes of such files.", AT_LEAST_0),
)
