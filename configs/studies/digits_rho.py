"""SAM's rho against the baseline's learning rate, each chosen on validation.

python -m sam_pod.study --study=configs/studies/digits_rho.py --output=studies/rho

Both arms try four values with one seed, and are tested with five seeds at the chosen
value. The variants are shares of wrong labels: :0, :20, :40 (also without a variant),
:60, :80. The labels held out for validation are as wrong as those of training.
"""

from sam_pod.study import Arm, Study

VARIANTS = ("", "0", "20", "40", "60", "80")
RECIPE = "../resnet20.py:digits"


def get_study(variant: str = "") -> Study:
    """Return the study with this percentage of wrong labels."""
    percent = int(variant or 40)
    rates = {"optimizer.learning_rate": (3e-4, 1e-3, 3e-3, 1e-2)}
    return Study(
        title=f"Digits with {percent} % wrong labels: rho chosen on validation",
        arms=(
            Arm("baseline", RECIPE, {"sam.rho": 0.0}, sweep=rates),
            Arm("SAM", RECIPE, sweep={"sam.rho": (0.05, 0.1, 0.2, 0.5)}),
        ),
        overrides={
            **({"data.label_noise": percent / 100} if percent else {}),
            "data.dir": f"data/digits-noise{percent}" if percent else "data/digits",
            "num_epochs": 30,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
