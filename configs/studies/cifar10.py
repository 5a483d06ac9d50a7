"""SAM and its baseline on CIFAR-10, with the SAM paper's optimizer, shortened.

python -m sam_pod.study --study=configs/studies/cifar10.py --output=studies/cifar10

ResNet20 for 30 epochs of SAM against 60 of the baseline, in bfloat16. It takes hours:
a SAM run about one and a half at 400 images a second. Variants have wrong labels: :40.
"""

from sam_pod.study import Arm, Study

VARIANTS = ("", "40")
RECIPE = "../resnet20.py:sgd"


def get_study(variant: str = "") -> Study:
    """Return the study with this percentage of wrong labels."""
    noise = {}
    if variant:
        noise = {
            "data.label_noise": int(variant) / 100,
            "data.dir": f"data/cifar10-noise{variant}",
        }
    return Study(
        title=f"CIFAR-10{f' with {variant} % wrong labels' if variant else ''}: "
        "SAM and its baseline",
        arms=(
            Arm("baseline", RECIPE, {"sam.rho": 0.0}),
            Arm("SAM", RECIPE, {"sam.rho": 0.2 if variant else 0.05}),
        ),
        seeds=(0, 1, 2),
        overrides={"num_epochs": 30, "dtype": "bfloat16", **noise},
    )
