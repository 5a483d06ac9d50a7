"""WRN-16-4 on CIFAR-10 for five epochs: what SAM costs and gives in a short run.

python -m sam_pod.study --study=configs/studies/wrn16_4.py --output=studies/wrn16_4

The recipe of the paper's WideResNets, cut to five epochs, on one device (m = 256). The
arms train for as many epochs, so that SAM spends twice the gradients.
"""

from sam_pod.study import Arm, Study

RECIPE = "../wide_resnet.py"


def get_study(variant: str = "") -> Study:
    """Return the study."""
    del variant
    return Study(
        title="WRN-16-4 on CIFAR-10 (JPEG), 5 epochs",
        arms=[Arm("baseline", RECIPE, {"sam.rho": 0.0}), Arm("SAM", RECIPE)],
        seeds=(0,),
        budget="epochs",
        overrides={"model.name": "wrn16_4", "num_epochs": 5},
    )
