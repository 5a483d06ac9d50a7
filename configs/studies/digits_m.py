"""m-sharpness: how many examples decide one ascent, at one global batch.

python -m sam_pod.study --study=configs/studies/digits_m.py --output=studies/m

SAM with m = 16, 64 and 256 by micro-batches alone: the steps cost the same gradients,
and the batch of the update is 256 in all arms.
"""

from sam_pod.study import Arm, Study

BATCH = 256


def get_study(variant: str = "") -> Study:
    """Return the study."""
    del variant
    return Study(
        title="Digits with 40 % wrong labels: m of SAM's ascent",
        arms=[
            Arm(f"m = {m}", "../resnet20.py:digits", {"sam.micro_batches": BATCH // m})
            for m in (256, 64, 16)
        ],
        baseline="m = 256",
        overrides={
            "global_batch_size": BATCH,
            "sam.rho": 0.2,
            "data.label_noise": 0.4,
            "data.dir": "data/digits-noise40",
            "num_epochs": 60,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
