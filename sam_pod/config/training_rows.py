"""The keys of training: the optimizer, its schedule, and what validation decides."""

from sam_pod.config.row import (
    ABOVE_0,
    ABOVE_0_UP_TO_1,
    ACCEPTED,
    AT_LEAST_0,
    BELOW_1,
    UP_TO_1,
    Row,
)

OPTIMIZER = (
    Row(
        "optimizer.name", "sgd", "'sgd', 'adam', 'adamw', 'rmsprop', 'lars' or 'lamb'."
    ),
    Row("optimizer.learning_rate", 0.1, "At the schedule's peak.", ABOVE_0),
    Row(
        "optimizer.head_factor",
        1.0,
        "Of the learning rate of the last layer, which fine-tuning may begin anew.",
        ABOVE_0,
    ),
    Row(
        "optimizer.weight_decay",
        0.0,
        "Of the weights that optimizer.decays_in says.",
        AT_LEAST_0,
    ),
    Row(
        "optimizer.decays_in",
        "auto",
        "Where weight decay stands: 'loss', the L2 of the kernels, in both gradients "
        "of SAM; 'loss_all', that of all weights, as in the paper's code; "
        "'gradient', added to what the optimizer takes, of all weights, as in PyTorch; "
        "'decoupled', of the kernels, beside the optimizer. 'auto' is 'decoupled' for "
        "'adamw', in the step of the kernels for 'lars' and 'lamb', else 'loss'.",
    ),
    Row(
        "optimizer.clip_norm",
        0.0,
        "Largest norm of the gradient that the optimizer takes, averaged over all "
        "replicas; 0 for any. The paper's code has 5.0.",
        AT_LEAST_0,
    ),
    Row("optimizer.momentum", 0.9, "Of 'sgd', 'rmsprop' and 'lars'.", BELOW_1),
    Row("optimizer.nesterov", True, "Nesterov's momentum, of 'sgd'."),
    Row(
        "optimizer.rate_in_velocity",
        True,
        "Whether 'sgd' takes the learning rate into its velocity, as Keras does, or "
        "applies it to the velocity, as PyTorch and the paper's code do.",
    ),
    Row("optimizer.beta_1", 0.9, "Of 'adam', 'adamw' and 'lamb'.", BELOW_1),
    Row("optimizer.beta_2", 0.999, "Of 'adam', 'adamw' and 'lamb'.", BELOW_1),
    Row(
        "optimizer.epsilon",
        1e-7,
        "Of 'adam', 'adamw' and 'lamb', beside the root; of 'rmsprop', under it.",
        ABOVE_0,
    ),
    Row(
        "optimizer.rmsprop_decay",
        0.9,
        "Of the mean square of 'rmsprop', each step.",
        BELOW_1,
        readers=("rmsprop",),
    ),
    Row(
        "optimizer.rmsprop_start",
        0.0,
        "What that mean square begins at: 0 in Keras and PyTorch, 1 in TensorFlow 1 "
        "and the paper's code.",
        AT_LEAST_0,
        readers=("rmsprop",),
    ),
    Row(
        "optimizer.trust",
        0.001,
        "Share of a kernel's norm that 'lars' takes as its step, at a rate of 1.",
        ABOVE_0,
        readers=("lars",),
    ),
)

EMA = (
    Row(
        "ema.decay",
        0.0,
        "Of an exponential moving average of weights and statistics, each step, such "
        "as 0.9999; validation, test and export are then of it. 0: none.",
        BELOW_1,
    ),
    Row(
        "ema.warmup",
        True,
        "Whether its decay at step t is at most (1 + t) / (10 + t), so that it forgets "
        "how it began.",
    ),
)

SCHEDULE = (
    Row(
        "schedule.name",
        "cosine",
        "'constant', 'cosine' (to 0), 'polynomial' (to schedule.end), 'exponential', "
        "'step' or 'plateau'.",
    ),
    Row("schedule.warmup_epochs", 0.0, "Epochs of linear warmup.", AT_LEAST_0),
    Row(
        "schedule.decay_factor",
        0.1,
        "Factor of the learning rate at each of schedule.boundaries for 'step', every "
        "schedule.decay_epochs for 'exponential'.",
        ABOVE_0_UP_TO_1,
        readers=("step", "exponential"),
    ),
    Row(
        "schedule.decay_epochs",
        1.0,
        "Epochs in which 'exponential' takes one factor, counted after the warmup.",
        ABOVE_0,
        readers=("exponential",),
    ),
    Row(
        "schedule.staircase",
        False,
        "Whether 'exponential' takes each factor at once, at the end of its epochs.",
        readers=("exponential",),
    ),
    Row(
        "schedule.boundaries",
        "",
        "When 'step' takes a factor, by comma: in epochs from the beginning of the "
        "run, or as shares of it, such as '30%,60%,80%'.",
        readers=("step",),
    ),
    Row(
        "schedule.power",
        1.0,
        "Of 'polynomial': 1 falls in a straight line, 2 is LARS' schedule.",
        ABOVE_0,
        readers=("polynomial",),
    ),
    Row(
        "schedule.end",
        0.0,
        "Share of the peak at which 'polynomial' ends.",
        UP_TO_1,
        readers=("polynomial",),
    ),
    Row(
        "schedule.plateau_factor",
        0.5,
        "Factor by which 'plateau' lowers the learning rate.",
        BELOW_1,
    ),
    Row(
        "schedule.plateau_patience",
        3,
        "Epochs without a better validation loss before 'plateau' does so.",
        ABOVE_0,
    ),
    Row(
        "schedule.plateau_min_delta",
        1e-4,
        "By how much the validation loss must fall to be better.",
        AT_LEAST_0,
    ),
    Row(
        "early_stopping.patience",
        0,
        "Epochs without a better validation loss; 0 never stops early.",
        AT_LEAST_0,
        ACCEPTED,
    ),
    Row(
        "early_stopping.restore_best_weights",
        False,
        "Test with the weights of the lowest validation loss.",
    ),
)
