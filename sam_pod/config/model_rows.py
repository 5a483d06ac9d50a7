"""The rows of section `model`."""

from sam_pod.config.row import Row, one_of

# The networks that read a key of their own; `models.table` has the same.
HE = ("resnet20_he", "resnet32", "resnet56")
WIDE = ("wrn16_4", "wrn16_8", "wrn28_10", "wrn40_10")
PYRAMID = ("pyramidnet110", "pyramidnet272")

MODEL = (
    Row(
        "model.name",
        "resnet20",
        "A network of the trainer's, 'keras:' and one of keras.applications, or the "
        "path of a model's file.",
        is_path=True,
    ),
    Row(
        "model.trusted_modules",
        "",
        "Modules of a file's own layers, by comma: names to import or paths of .py "
        "files, whose code then runs; 'lambda' runs the code of Lambda layers in the "
        "file.",
    ),
    Row(
        "model.initial_weights",
        "",
        "What the first weights are taken from by name and shape: a model's file, a "
        "run's workdir or a folder that was exported; what does not fit, such as a "
        "head of other classes, begins new. '' for none.",
        is_path=True,
    ),
    Row(
        "model.initial_checkpoint",
        "latest",
        "Which checkpoint of a workdir in model.initial_weights: 'latest' or 'best'.",
        one_of("latest", "best"),
    ),
    Row(
        "model.frozen",
        "",
        "Layers that do not train, by comma: names, with * and ?, or 'body', all but "
        "the last. '' for none.",
    ),
    Row(
        "model.freeze_batch_norm",
        False,
        "Whether BatchNorm normalizes by the statistics that it begins with, and "
        "trains neither scale nor offset.",
    ),
    Row(
        "model.input_range",
        "auto",
        "The range in which the model is fed its images: 'unit' [0, 1], 'symmetric' "
        "[-1, 1], 'bytes' [0, 255], 'standardized' by the data's mean and deviation, "
        "or 'auto': what a model's file is made for, else as data.standardize says.",
    ),
    Row(
        "model.batch_norm",
        "replica",
        "Whose batch BatchNorm's statistics are of: 'replica', each its own, or "
        "'global', all that ascend together.",
        one_of("replica", "global"),
    ),
    Row(
        "model.remat",
        "none",
        "'blocks' keeps of each residual block, and of a transformer's attention and "
        "MLP, what goes into it, and computes the rest again for its gradient: memory "
        "for a third more time.",
        one_of("none", "blocks"),
    ),
    Row(
        "model.shortcut",
        "pad",
        "Where a residual network changes its channels: 'pad', pixels pooled or left "
        "out and channels of zeros, or 'projection', a 1 x 1 convolution.",
        one_of("pad", "projection"),
        readers=(*HE, *WIDE),
    ),
    Row(
        "model.normalization",
        "batch",
        "'batch' for BatchNorm, or 'none'.",
        one_of("batch", "none"),
        readers=WIDE,
    ),
    Row(
        "model.widths",
        "round",
        "Whether the channels of a PyramidNet's blocks are rounded, 'round', as in the "
        "SAM paper's code, or rounded down, 'truncate', as in the PyramidNets' paper.",
        one_of("round", "truncate"),
        readers=PYRAMID,
    ),
    Row(
        "model.shake_drop",
        "auto",
        "Whether a PyramidNet has ShakeDrop: 'on', 'off', or 'auto', as its paper's "
        "table: 'pyramidnet272' has it, 'pyramidnet110' has not.",
        one_of("auto", "on", "off"),
        readers=PYRAMID,
    ),
)
