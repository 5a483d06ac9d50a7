"""GSAM: the perturbed gradient, less what of the clean one does not serve it.

    h = g - <g, u> u,  u = g_s / ||g_s||;   take g_s - alpha h          ('perturbed')
    h = g_s - <g_s, u> u,  u = g / ||g||;   take g + alpha h            ('clean')

Source: arXiv 2203.08065; big_vision, gsam.py (`minimize_fp` True and False). Its one
released config (ViT-B/32) has alpha 0.6 and rho from 0.6 down to 0.1 with the learning
rate; here rho stays between the two, where the released formula
leaves them during warmup. `train/sharpness` is its surrogate gap, L(w + e) - L(w), and
`train/orthogonal_norm` is ||h||.
"""

from sam_pod.sam import allowed, gradients
from sam_pod.sam.gradients import Tensors
from sam_pod.sam.variant import PLAIN, Descent, Variant


def build(alpha: float = 0.6, minimizes: str = "perturbed") -> Variant:
    """Return GSAM; the plain optimizer where it minimizes the clean loss with alpha 0.

    Args:
        alpha: How far the orthogonal part is followed, 0 or above.
        minimizes: Which of the two losses the other's orthogonal part is added to.

    Raises:
        ValueError: a value that it cannot have.
    """
    allowed.check_at_least("alpha", alpha, 0)
    allowed.check_one_of("minimizes", minimizes, ("perturbed", "clean"))
    if minimizes == "clean" and alpha == 0:
        return PLAIN

    def descend(clean: Tensors, perturbed: Tensors) -> Descent:
        if minimizes == "perturbed":
            h, base, sign = gradients.reject(clean, perturbed), perturbed, -alpha
        else:
            h, base, sign = gradients.reject(perturbed, clean), clean, alpha
        gradient = [b + sign * part for b, part in zip(base, h, strict=True)]
        return Descent(gradient, (gradients.norm(h),))

    if alpha == 0:
        return Variant("gsam")
    return Variant(
        "gsam", descend=descend, is_linear=False, metrics=("orthogonal_norm",)
    )
