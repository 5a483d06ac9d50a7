"""Fine-tuning with SAM: Table 3 of arXiv 2010.01412.

python -m sam_pod.main --config=configs/finetune.py                          CIFAR-10
python -m sam_pod.main --config=configs/finetune.py:flowers
python -m sam_pod.main --config=configs/finetune.py:cifar100-resnet50        from a run
python -m sam_pod.main --config=configs/finetune.py:cars-code

VARIANTS, after the colon, join by '-' and in this order the data (cifar10, cifar100,
flowers, pets, cars, aircraft, birdsnap, food101, imagenet), the network (b7, resnet50)
and whose values (paper, code); the first of each is left out. Add --config.sam.rho=0
for the baseline.

Top-1 error of EfficientNet-L2, trained on more data before, SAM / without (%, 5 runs):
cifar10 0.30 / 0.34, cifar100 3.92 / 4.07, imagenet 11.39 / 11.8; with SAM aircraft
4.82, birdsnap 9.93, food101 3.82, pets 2.90, cars 4.04. L2 is not in Keras and has no
page. The paper's rows of EfficientNet-b7, which this is, were not at hand.

5,000 steps (imagenet 10 epochs) of 1,024 images on 64 replicas, 16 each (m = 16);
momentum, cosine from 0.016 (imagenet 0.1), decay 1e-5, rho 0.05, BatchNorm frozen,
AutoAugment on CIFAR and no augmentation elsewhere. `code` has what the command in the
README of the official code has in its place: rho 0.1, gradients clipped at 1.0, labels
smoothed by 0.1. L2 had 512 images, rate 0.008 and m = 4.

b7 is a file with a head for the data's classes, weights/b7_cifar10.keras and so on:

    import keras
    base = keras.applications.EfficientNetB7(include_top=False, pooling="avg")
    head = keras.layers.Dense(10)(keras.layers.Dropout(0.5)(base.output))
    keras.Model(base.input, head).save("weights/b7_cifar10.keras")

It scales bytes itself, and `model.input_range` sees that. For imagenet save the network
with its own head, as the paper keeps it. resnet50 begins with the weights by name
of runs/resnet50, a workdir of configs/resnet_imagenet.py, and has a new head, whose
learning rate is ten times the others' (this page's own choice).

What differs or is not known: the size of images is not given, here it is b7's 600 (224
for resnet50); the paper counts steps, here they are epochs of what TensorFlow Datasets
has as training and validation, rounded; Nesterov's momentum and decay of all that
trains are the code's; arithmetic is in bfloat16. Data other than CIFAR and ImageNet are
prepared from folders (docs/data.md).

A b7 at 600 x 600 takes 74 GFLOP an image forward: 5,000 steps of 1,024 images with two
gradients are 2.3e18 operations, two hours of a v5e:4x8 at a third of its peak. Where 16
images do not fit a chip, add --config.model.remat=blocks. It was not trained here.
"""

import ml_collections

# Training examples by data.
_DATA = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "flowers": 2_040,
    "pets": 3_680,
    "cars": 8_144,
    "aircraft": 6_667,
    "birdsnap": 47_386,
    "food101": 75_750,
    "imagenet": 1_281_167,
}
_PARTS = (tuple(_DATA), ("b7", "resnet50"), ("paper", "code"))
_BATCH, _STEPS = 1024, 5000
VARIANTS = (
    "",
    *(name for name in _DATA if name != "cifar10"),
    *("resnet50", "cifar100-resnet50", "flowers-resnet50"),
    *("code", "cars-code", "food101-code", "flowers-resnet50-code"),
)
STEPS = ("", "flowers-resnet50-code")  # Those that differ in kind.


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Return the recipe of a variant, as above."""
    data, network, values = _chosen(variant)
    is_code, is_imagenet = values == "code", data == "imagenet"
    epoch_steps = _DATA[data] // _BATCH
    config = ml_collections.ConfigDict()
    config.global_batch_size = _BATCH
    config.num_epochs = 10 if is_imagenet else round(_STEPS / epoch_steps)
    config.steps_per_loop = min(epoch_steps, 100)
    config.dtype = "bfloat16"
    config.model = {"freeze_batch_norm": True, **_network(data, network)}
    config.sam = {"rho": 0.1 if is_code else 0.05, "sync": "replica"}
    config.data = {
        "name": data if data.startswith(("cifar", "imagenet")) else "images",
        "dir": f"data/{data}",
        "image_size": 600 if network == "b7" else 224,
        "interpolation": "bicubic",
        "augment": "autoaugment" if data.startswith("cifar") else "",
        "label_smoothing": 0.1 if is_code else 0.0,
        "validation": "none",
    }
    config.optimizer = {
        "name": "sgd",
        "learning_rate": 0.1 if is_imagenet else 0.016,
        "momentum": 0.9,
        "nesterov": True,
        "rate_in_velocity": False,
        "weight_decay": 1e-5,
        "decays_in": "loss_all",
        "clip_norm": 1.0 if is_code else 0.0,
    }
    config.schedule = {"name": "cosine"}
    if network == "resnet50":
        config.data.standardize = True
        config.optimizer.head_factor = 10.0
    return config


def _network(data: str, network: str) -> dict[str, str]:
    if network == "b7":
        return {"name": f"weights/b7_{data}.keras"}
    return {"name": network, "initial_weights": "runs/resnet50"}


def _chosen(variant: str) -> list[str]:
    """Return one of each of _PARTS: what the variant names, or the first."""
    named = variant.split("-")
    return [
        next((name for name in options if name in named), options[0])
        for options in _PARTS
    ]
