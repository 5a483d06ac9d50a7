"""What the name of a TPU slice says; see sam_pod/accelerators.py."""

from sam_pod.accelerators import GENERATIONS as GENERATIONS
from sam_pod.accelerators import Accelerator as Accelerator
from sam_pod.accelerators import known as known
from sam_pod.accelerators import parse as parse
