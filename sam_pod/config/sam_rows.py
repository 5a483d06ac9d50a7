"""The keys of the SAM family: the member, its radius, when it acts, what it reads."""

from sam_pod.config.row import (
    ABOVE_0,
    ABOVE_0_UP_TO_1,
    AT_LEAST_0,
    BELOW_1,
    Row,
    one_of,
)

MEMBERS = (
    "sam",
    "random",
    "asam",
    "gsam",
    "looksam",
    "esam",
    "wsam",
    "sam_on",
    "friendly",
    "vasso",
    "msam",
)

_RADIUS = (
    Row("sam.rho", 0.05, "Radius of the ascent; 0 is the plain optimizer.", AT_LEAST_0),
    Row(
        "sam.rho_schedule",
        "auto",
        "How rho changes: 'constant'; 'linear', from sam.rho_min to sam.rho over the "
        "window; 'cosine', from sam.rho to sam.rho_min over it; 'learning_rate', from "
        "sam.rho_min at 0, or at the end of 'polynomial', to sam.rho at the rate's "
        "peak. 'auto' is 'learning_rate' for 'gsam', else 'constant'.",
        one_of("auto", "constant", "linear", "cosine", "learning_rate"),
    ),
    Row("sam.rho_min", 0.0, "The other end of a schedule of rho.", AT_LEAST_0),
    Row(
        "sam.energy",
        0.0,
        "Above 0, rho is at most this over the norm of the gradient (LE-SAM).",
        AT_LEAST_0,
        readers=("sam",),
    ),
)

_WHEN = (
    Row(
        "sam.start",
        "0",
        "When the member begins to act, in epochs or, such as '87.5%', as a share of "
        "the run; the plain optimizer takes the steps before.",
        is_number_or_name=True,
    ),
    Row(
        "sam.end",
        "100%",
        "When it ends to, likewise.",
        is_number_or_name=True,
    ),
    Row(
        "sam.every",
        1,
        "It acts every so many steps from sam.start on, the plain optimizer on the "
        "others.",
        ABOVE_0,
    ),
)

_OWN = (
    Row(
        "sam.norm",
        "2",
        "p of the ball in which the ascent stays: '2', 'inf' or '1' (for 'sam' alone).",
        one_of("2", "inf", "1"),
        is_number_or_name=True,
        readers=("sam", "asam", "sam_on"),
    ),
    Row(
        "sam.layerwise",
        "",
        "Each tensor of weights has an ascent of its own length: 'trust', rho times "
        "its norm (for 'asam' T is its norm), or 'unit', rho.",
        one_of("", "trust", "unit"),
        readers=("sam", "asam", "looksam", "sam_on"),
    ),
    Row(
        "sam.asam.eta",
        0.01,
        "Added to the size of a weight.",
        AT_LEAST_0,
        readers=("asam",),
    ),
    Row(
        "sam.gsam.alpha",
        0.6,
        "How far the orthogonal part is followed.",
        AT_LEAST_0,
        readers=("gsam",),
    ),
    Row(
        "sam.gsam.minimizes",
        "perturbed",
        "Which of the two losses the orthogonal part of the other is added to.",
        one_of("perturbed", "clean"),
        readers=("gsam",),
    ),
    Row(
        "sam.looksam.k",
        5,
        "Steps from one ascent to the next.",
        ABOVE_0,
        readers=("looksam",),
    ),
    Row(
        "sam.looksam.alpha",
        0.1,
        "Share of the kept direction on the steps between.",
        AT_LEAST_0,
        readers=("looksam",),
    ),
    Row(
        "sam.esam.beta",
        0.6,
        "Chance of a tensor of weights to be perturbed.",
        ABOVE_0_UP_TO_1,
        readers=("esam",),
    ),
    Row(
        "sam.esam.gamma",
        0.5,
        "Share of the examples, the hardest, in the second gradient.",
        ABOVE_0_UP_TO_1,
        readers=("esam",),
    ),
    Row(
        "sam.esam.norm",
        "kept",
        "The ascent is divided by the norm of the tensors that are 'kept', or of the "
        "'full' gradient.",
        one_of("kept", "full"),
        readers=("esam",),
    ),
    Row(
        "sam.wsam.gamma",
        0.9,
        "Weight of the sharpness; 0.5 is SAM.",
        BELOW_1,
        readers=("wsam",),
    ),
    Row(
        "sam.wsam.decoupled",
        True,
        "The sharpness is descended beside the optimizer, not through it.",
        readers=("wsam",),
    ),
    Row(
        "sam.sam_on.reverse",
        False,
        "Perturb all weights but those of normalizations: the control.",
        readers=("sam_on",),
    ),
    Row(
        "sam.sam_on.adaptive",
        False,
        "The ascent is ASAM's.",
        readers=("sam_on",),
    ),
    Row(
        "sam.sam_on.eta",
        0.01,
        "Added to the size of a weight where the ascent is adaptive.",
        AT_LEAST_0,
        readers=("sam_on",),
    ),
    Row(
        "sam.friendly.sigma",
        1.0,
        "Share of the mean gradient that is taken off.",
        AT_LEAST_0,
        readers=("friendly",),
    ),
    Row(
        "sam.friendly.decay",
        0.9,
        "Of the mean gradient, each step.",
        BELOW_1,
        readers=("friendly",),
    ),
    Row(
        "sam.vasso.theta",
        0.9,
        "Share of the new gradient in the mean that is ascended on.",
        ABOVE_0_UP_TO_1,
        readers=("vasso",),
    ),
)

SAM = (
    *_RADIUS,
    Row("sam.variant", "sam", f"Member of the family: {', '.join(MEMBERS)}."),
    Row(
        "sam.sync",
        "global",
        "Who ascends together: 'global', 'replica', 'norm', or so many replicas.",
        is_number_or_name=True,
    ),
    Row(
        "sam.micro_batches",
        1,
        "Ascents of each replica's batch, for a smaller m.",
        ABOVE_0,
    ),
    *_WHEN,
    *_OWN,
)
