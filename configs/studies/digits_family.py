"""All members of the SAM family on the digits with 40 % wrong labels.

python -m sam_pod.study --study=configs/studies/digits_family.py --output=studies/family

Each member tries three radii of its own on validation, because they are not on one
scale (docs/family.md); the baseline tries three learning rates. All spend as many
gradients, so a member whose steps cost less trains for more epochs.
"""

from sam_pod.study import Arm, Study

RECIPE = "../resnet20.py:digits"
# Of ASAM and those whose perturbation follows the weights' size.
ADAPTIVE = (0.5, 2.0, 5.0)
EUCLIDEAN = (0.1, 0.2, 0.5)
MEMBERS = {
    "SAM": ({"sam.variant": "sam"}, EUCLIDEAN),
    "random": ({"sam.variant": "random"}, EUCLIDEAN),
    "ASAM": ({"sam.variant": "asam"}, ADAPTIVE),
    "GSAM": ({"sam.variant": "gsam"}, EUCLIDEAN),
    "LookSAM": ({"sam.variant": "looksam"}, EUCLIDEAN),
    "ESAM": ({"sam.variant": "esam"}, EUCLIDEAN),
    "WSAM": ({"sam.variant": "wsam"}, EUCLIDEAN),
    "SAM-ON": ({"sam.variant": "sam_on"}, EUCLIDEAN),
    "Friendly-SAM": ({"sam.variant": "friendly"}, EUCLIDEAN),
    "VaSSO": ({"sam.variant": "vasso"}, EUCLIDEAN),
}


def get_study(variant: str = "") -> Study:
    """Return the study."""
    del variant
    rates = {"optimizer.learning_rate": (3e-4, 1e-3, 3e-3)}
    members = [
        Arm(name, RECIPE, keys, sweep={"sam.rho": radii})
        for name, (keys, radii) in MEMBERS.items()
    ]
    return Study(
        title="Digits with 40 % wrong labels: the family",
        arms=[Arm("baseline", RECIPE, {"sam.rho": 0.0}, sweep=rates), *members],
        note="Momentum-SAM is left out: it follows a momentum that Adam has not.",
        overrides={
            "data.label_noise": 0.4,
            "data.dir": "data/digits-noise40",
            "num_epochs": 30,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
