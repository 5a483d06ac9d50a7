"""Studies: arms, seeds and what is compared; `Arm` and `Study` are what a page uses."""

from sam_pod.study.plan import Arm, Study

__all__ = ["Arm", "Study"]
