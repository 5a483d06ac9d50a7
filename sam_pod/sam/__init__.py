"""The family of Sharpness-Aware Minimization: Algorithm 1 of arXiv 2010.01412, and kin.

    w  --batch_gradient-->  g  --direct-->  e  --batch_gradient at w + e-->  g_s
       --descend, finish-->  what the optimizer takes, and what is remembered

Pure functions of tensors. The weights are never written: the second gradient is taken
at the tensors `w + e`: nothing has to be restored. Works in every float type but
float16, where squares of gradients vanish, under `tf.function` or not, and needs
nothing else of this package.

One member a file, which has its formula, its source and its defaults:
`sam.sam.build()`, `sam.asam.build(roles)`, `sam.looksam.build(k=5)` and so on.
`sam.gradient` is the gradient of any of them, for one's own loop.
"""

from sam_pod.sam import (
    asam,
    directions,
    esam,
    friendly,
    gsam,
    looksam,
    msam,
    random,
    roles,
    sam,
    sam_on,
    variant,
    vasso,
    wsam,
)
from sam_pod.sam.directions import perturbation
from sam_pod.sam.gradients import (
    NORM_EPSILON,
    LossFn,
    batch_gradient,
    perturb,
    select,
    squared_norm,
)
from sam_pod.sam.own_loop import SamGradient, gradient
from sam_pod.sam.variant import PLAIN, Memory, Variant

__all__ = [
    "NORM_EPSILON",
    "PLAIN",
    "LossFn",
    "Memory",
    "SamGradient",
    "Variant",
    "asam",
    "batch_gradient",
    "directions",
    "esam",
    "friendly",
    "gradient",
    "gsam",
    "looksam",
    "msam",
    "perturb",
    "perturbation",
    "random",
    "roles",
    "sam",
    "sam_on",
    "select",
    "squared_norm",
    "variant",
    "vasso",
    "wsam",
]
