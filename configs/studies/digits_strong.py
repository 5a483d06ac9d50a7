"""Other remedies for wrong labels beside SAM, and with it: 40 % on the digits.

python -m sam_pod.study --study=configs/studies/digits_strong.py --output=studies/strong

Each arm tries three values of its own on validation. Early stopping is no arm, because
each arm has it: the figures at the best validation.
"""

from sam_pod.study import Arm, Study

RECIPE = "../resnet20.py:digits"
RHO = 0.5
# By remedy: what it sets, and the values that it tries.
REMEDIES = {
    "weight decay": (
        {"optimizer.name": "adamw"},
        {"optimizer.weight_decay": (0.01, 0.1, 1.0)},
    ),
    "label smoothing": ({}, {"data.label_smoothing": (0.1, 0.2, 0.4)}),
    "mixup": ({"data.augment": "crop,mixup"}, {"data.mixup_alpha": (0.2, 1.0, 4.0)}),
}


def get_study(variant: str = "") -> Study:
    """Return the study."""
    del variant
    rates = {"optimizer.learning_rate": (3e-4, 1e-3, 3e-3)}
    arms = [
        Arm("baseline", RECIPE, {"sam.rho": 0.0}, sweep=rates),
        Arm("SAM", RECIPE, sweep={"sam.rho": (0.1, 0.2, 0.5)}),
    ]
    for name, (keys, values) in REMEDIES.items():
        arms.append(Arm(name, RECIPE, {"sam.rho": 0.0, **keys}, sweep=values))
        arms.append(Arm(f"{name} + SAM", RECIPE, {"sam.rho": RHO, **keys}, values))
    return Study(
        title="Digits with 40 % wrong labels: SAM beside other remedies",
        arms=arms,
        overrides={
            "data.label_noise": 0.4,
            "data.dir": "data/digits-noise40",
            "num_epochs": 30,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
