"""Pages of studies, and a stand-in for the trainer."""

import dataclasses
import pathlib
import sys

from sam_pod.study import Arm, Study, plan

ROOT = pathlib.Path(__file__).parent.parent.parent
RECIPE = str(ROOT / "configs/resnet20.py:digits")
PLAIN = Arm("plain", RECIPE, {"sam.rho": 0.0})
SAM = Arm("SAM", RECIPE, {"sam.rho": 0.2})
# Takes the command of a run after it, and leaves what the trainer would.
TRAINER = (
    *("env", f"PYTHONPATH={ROOT}"),
    *(sys.executable, str(ROOT / "tests/study/trainer.py")),
)


def study(*arms, **fields):
    """Return a checked study of few epochs."""
    made = Study(
        **{
            "title": "a study",
            "arms": arms or (PLAIN, SAM),
            "seeds": (0, 1),
            "overrides": {"num_epochs": 3},
            **fields,
        }
    )
    plan.check(made, "page.py")
    return made


def with_overrides(arm, **overrides):
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return dataclasses.replace(arm, overrides={**arm.overrides, **keys})
