"""ResNet20 on CIFAR-10 with SAM: the seed's recipe, and variants of it.

python -m sam_pod.main --config=configs/resnet20.py          Adam, plateau
python -m sam_pod.main --config=configs/resnet20.py:sgd      the SAM paper's optimizer
python -m sam_pod.main --config=configs/resnet20.py:cutout       and its second,
python -m sam_pod.main --config=configs/resnet20.py:autoaugment  its third augmentation
python -m sam_pod.main --config=configs/resnet20.py:digits   minutes on a laptop

Add --config.sam.rho=0 to any of them for its baseline without SAM. Keys that are not
here have the defaults of sam_pod/config/keys.py.
"""

import ml_collections

VARIANTS = ("", "sgd", "cutout", "autoaugment", "digits")
STEPS = ("", "sgd")  # What the others augment by, those of wide_resnet.py do.


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Return the recipe, or one of its VARIANTS."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.global_batch_size = 1024
    config.num_epochs = 100
    config.steps_per_loop = 44  # One epoch of 45,000 examples has 43.
    config.dtype = "float32"
    config.model = {"name": "resnet20"}
    config.sam = {"rho": 0.05, "sync": "global"}

    config.data = ml_collections.ConfigDict()
    config.data.name = "cifar10"
    config.data.dir = "data/cifar10"
    config.data.augment = "crop,brightness"
    config.data.crop_padding = 4
    config.data.brightness_delta = 0.5
    config.data.validation_examples = 5000

    config.optimizer = {"name": "adam", "learning_rate": 1e-3}
    # Halve the learning rate when the validation loss stalls for 3 epochs, stop when
    # it stalls for 10, and test the best weights.
    config.schedule = {"name": "plateau", "plateau_factor": 0.5, "plateau_patience": 3}
    config.early_stopping = {"patience": 10, "restore_best_weights": True}

    if variant in ("sgd", "cutout", "autoaugment"):
        # arXiv 2010.01412, section 3.1 and table 6 (WideResNet, 200 epochs).
        config.global_batch_size = 256
        config.num_epochs = 200
        config.data.augment = {
            "sgd": "crop,flip",
            "cutout": "crop,flip,cutout",
            "autoaugment": "crop,flip,autoaugment,cutout",
        }[variant]
        config.data.standardize = True
        config.optimizer = {
            "name": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip_norm": 5.0,  # Of the paper's code, not of its text.
        }
        config.schedule = {"name": "cosine"}
        config.early_stopping = {"patience": 0, "restore_best_weights": False}
    elif variant == "digits":
        # 1,797 scanned digits of 8 x 8 pixels, bundled with scikit-learn. A digit
        # fills its frame and is no other digit when mirrored: no flip, a small crop.
        config.global_batch_size = 64
        config.num_epochs = 40
        config.data.name = "digits"
        config.data.dir = "data/digits"
        config.data.augment = "crop"
        config.data.crop_padding = 1
        config.data.validation_examples = 147
    return config
