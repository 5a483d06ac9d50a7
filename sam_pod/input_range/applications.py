"""Networks of `keras.applications` that leave the scaling of images to their caller."""

import re

import keras

from sam_pod.data.augment import ranges
from sam_pod.models import front

# By the beginning of a name: the module whose `preprocess_input` the weights want, and
# the range that it amounts to, '' where there is none. From Keras 3.12.
_KINDS = (
    (r"resnet(50|101|152)v2", "resnet_v2", ranges.SYMMETRIC),
    (r"resnet(50|101|152)", "resnet", ""),
    (r"vgg16", "vgg16", ""),
    (r"vgg19", "vgg19", ""),
    (r"xception", "xception", ranges.SYMMETRIC),
    (r"inception_v3", "inception_v3", ranges.SYMMETRIC),
    (r"inception_resnet_v2", "inception_resnet_v2", ranges.SYMMETRIC),
    (r"mobilenet_[\d.]+_\w+", "mobilenet", ranges.SYMMETRIC),
    (r"mobilenetv2_[\d.]+_\w+", "mobilenet_v2", ranges.SYMMETRIC),
    (r"densenet(121|169|201)", "densenet", ""),
    (r"NASNet", "nasnet", ranges.SYMMETRIC),
)


def hint(model: keras.Model) -> str:
    """Return what the weights of such a network in a model want; '' without one."""
    for part in (model, *model._flatten_layers(include_self=False)):
        if not front.is_model(part):
            continue
        for pattern, module, name in _KINDS:
            if re.fullmatch(pattern + r"(_\d+)?", part.name):
                remedy = f"set it to {name!r}" if name else "save the file with that"
                return (
                    f"its {part.name!r} is called as one of keras.applications, whose "
                    "pretrained weights take images by keras.applications."
                    f"{module}.preprocess_input: if it has these, {remedy}"
                )
    return ""
