"""SAM and its baseline on the embedded digits, with wrong labels.

python -m sam_pod.study --study=configs/studies/digits_noise.py --output=studies/digits

40 % of the training labels are flipped to another class, those held out for validation
among them; the test labels are right. SAM trains for 30 epochs, the baseline for 60:
they spend as many gradients. Variants have other shares: :0, :20, :60, :80.
"""

from sam_pod.study import Arm, Study

VARIANTS = ("", "0", "20", "40", "60", "80")


def get_study(variant: str = "") -> Study:
    """Return the study with this percentage of wrong labels."""
    percent = int(variant or 40)
    return Study(
        title=f"Digits with {percent} % wrong labels: SAM and its baseline",
        arms=(
            Arm("baseline", "../resnet20.py:digits", {"sam.rho": 0.0}),
            Arm("SAM", "../resnet20.py:digits", {"sam.rho": 0.5}),
        ),
        seeds=(0, 1, 2, 3, 4),
        budget="gradients",
        overrides={
            **({"data.label_noise": percent / 100} if percent else {}),
            "data.dir": f"data/digits-noise{percent}" if percent else "data/digits",
            "num_epochs": 30,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
