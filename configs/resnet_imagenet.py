"""ResNet-50, -101 and -152 on ImageNet: Table 2 of arXiv 2010.01412, Table 1 of GSAM's.

python -m sam_pod.main --config=configs/resnet_imagenet.py      ResNet-50, 100 epochs
python -m sam_pod.main --config=configs/resnet_imagenet.py:400
python -m sam_pod.main --config=configs/resnet_imagenet.py:resnet152-200
python -m sam_pod.main --config=configs/resnet_imagenet.py:resnet101-90-gsam

VARIANTS, after the colon, join by '-' and in this order the network (resnet50,
resnet101, resnet152), the epochs (100, 90, 200, 400) and the member of the family (sam,
asam, gsam, looksam); the first of each is left out. Add --config.sam.rho=0 for the
baseline. ImageNet is not downloaded: docs/data.md says how data/imagenet is prepared
from its archives.

Top-1 and top-5 error on the 50,000 validation images, which are the test split here,
after the last epoch (%; means of 5 runs, 95 % intervals of at most 0.2):

                     SAM                                     without
    epochs           100          200          400           100    200    400
    ResNet-50        22.5, 6.28   21.4, 5.82   20.9, 5.51    22.9   22.3   22.3
    ResNet-101       20.2, 5.12   19.4, 4.76   19.0, 4.65    21.2   20.9   22.3
    ResNet-152       19.2, 4.69   18.5, 4.37   18.4, 4.35    20.4   20.3   20.9

For all three: batch 4096, rate 1.0 with a cosine and no warmup, momentum 0.9,
label smoothing 0.1, weight decay 1e-4, rho 0.05. 32 replicas of 128 ascend each for
itself (m = 128), on a v5e:4x8 as on the paper's 32 cores: on another number set
--config.sam.micro_batches so that replicas times micro-batches are 32.

GSAM's paper (arXiv 2203.08065) has top-1 accuracies after 90 epochs, without / SAM /
GSAM: 76.0 / 76.9 / 77.2 (ResNet-50), 77.8 / 78.6 / 78.9, 78.5 / 79.3 / 80.0. ':…-gsam'
has what its Table 4 says: rate 1.6 to 0.016 in a straight line after 5,000 steps of
warmup, rho 0.04 to 0.02 with the rate, alpha 0.01 (0.005 for ResNet-152). That table's
weight decay, 0.3 for SGD as for AdamW, is not taken: it stays at 1e-4.

Parts of 8 to 100 % of the area (Inception's) and a flip train, the middle 224 of 256
pixels of the shorter side are evaluated, both scaled by cubic curves, as in the SAM
paper's code. In the code and not in the text: Nesterov's momentum, gradients clipped at
5.0, weight decay of all parameters.

What differs or is not known: arithmetic is in bfloat16 (--config.dtype=float32 for the
code's); images are standardized by the mean and deviation of the stored training split,
where the code has the usual constants; the sides of a part are even in the logarithm of
their ratio, there in the ratio. rho of asam (0.5) is its own paper's for CIFAR-10, and
nobody's for ImageNet; looksam has this trainer's defaults.

100 epochs take 6.3e18 operations with ResNet-50, 1.2e19 with ResNet-101 and 1.8e19 with
ResNet-152: 128 million images, two gradients of 24.5, 46.8 and 69.1 GFLOP, as counted
from the kernels. It was not trained to its end here; `python -m sam_pod.preflight
--config=configs/resnet_imagenet.py --topology=v5e:4x8 --image_shape=224,224,3
--num_classes=1000 --train_examples=1281167` estimates a step.
"""

import ml_collections

_PARTS = (
    ("resnet50", "resnet101", "resnet152"),
    ("100", "90", "200", "400"),
    ("sam", "asam", "gsam", "looksam"),
)
_EPOCH_STEPS = 312  # Of 4096 of 1,281,167 images.
VARIANTS = (
    "",
    *("90", "200", "400", "90-gsam", "asam", "looksam"),
    *("resnet101", "resnet101-200", "resnet101-400", "resnet101-90-gsam"),
    *("resnet152", "resnet152-200", "resnet152-400", "resnet152-90-gsam"),
)
STEPS = ("", "90-gsam")  # Those that differ in kind.


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Return the recipe of a variant, as above."""
    network, epochs, member = _chosen(variant)
    is_gsam = member == "gsam"
    config = ml_collections.ConfigDict()
    config.global_batch_size = 4096
    config.num_epochs = int(epochs)
    config.steps_per_loop = _EPOCH_STEPS
    config.dtype = "bfloat16"
    config.model = {"name": network}
    config.sam = {"variant": member, "rho": 0.05, "sync": "replica"}
    config.data = {
        "name": "imagenet",
        "dir": "data/imagenet",
        "image_size": 224,
        "interpolation": "bicubic",
        "augment": "inception,flip",
        "label_smoothing": 0.1,
        "standardize": True,
        "validation": "none",
    }
    config.optimizer = {
        "name": "sgd",
        "learning_rate": 1.6 if is_gsam else 1.0,
        "momentum": 0.9,
        "nesterov": True,
        "rate_in_velocity": False,
        "weight_decay": 1e-4,
        "decays_in": "loss_all",
        "clip_norm": 5.0,
    }
    config.schedule = {"name": "cosine"}
    if member == "asam":
        config.sam.rho = 0.5
    if is_gsam:
        alpha = 0.005 if network == "resnet152" else 0.01
        config.sam.update(rho=0.04, rho_min=0.02, gsam={"alpha": alpha})
        warmup = 5000 / _EPOCH_STEPS
        config.schedule = {"name": "polynomial", "end": 0.01, "warmup_epochs": warmup}
    return config


def _chosen(variant: str) -> list[str]:
    """Return one of each of _PARTS: what the variant names, or the first."""
    named = variant.split("-")
    return [
        next((name for name in options if name in named), options[0])
        for options in _PARTS
    ]
