"""The trainer's command line: its flags, the recipe, the keys."""

import os
import time
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from sam_pod import errors
from sam_pod.config import help_text, recipes, rules
from sam_pod.config import keys as config_lib
from sam_pod.process import command, path_flags

HELP = """\
Train with SAM: python -m sam_pod.main --config=FILE[:VARIANT] [--config.key=value].

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, run the same
command again and it continues; 70 a bug, with its traceback.
"""


def accepted_changes(words: Sequence[str]) -> frozenset[str]:
    """Return the changes that are accepted.

    Raises:
        UserError: a word that is none of `keys.ACCEPTABLE`.
    """
    for word in words:
        errors.lookup(dict.fromkeys(config_lib.ACCEPTABLE), word, "accept_change")
    return frozenset(words)


def parse(argv: list[str], *, here: bool = True) -> tuple[flags.FlagValues, str]:
    """Return the flags, among them the resolved `config`, and the recipe's name.

    Args:
        argv: The command line.
        here: Whether the run is on this machine, whose home folder `~` then is.

    Raises:
        UserError: a flag or a key that is unknown, or has a wrong value.
        SystemExit: after showing the help that was asked for.
    """
    recipe, rest = split_recipe(argv)
    values = flags.FlagValues()
    define = path_flags.define if here else flags.DEFINE_string
    define("workdir", "", "Folder of the run; continues what is there.", values)
    flags.DEFINE_list(
        "accept_change",
        [],
        "What may be other than in the run that is continued: replicas (another m of "
        "SAM, another batch of BatchNorm), num_epochs, early_stopping.patience.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tpu", "", "A TPU: local, its name, or grpc://HOST:8470,...", values
    )
    flags.DEFINE_string("zone", "", "Zone of the TPU that --tpu names.", values)
    flags.DEFINE_string("project", "", "Project of the TPU that --tpu names.", values)
    group = help_text.group(rest)
    if group or command.wants_help(rest):
        help_text.show(HELP, values.get_help(), group)
    if not recipe:
        raise errors.UserError(
            "No recipe; give --config=FILE[:VARIANT], such as "
            "--config=configs/resnet20.py:digits."
        )
    config = recipes.load(recipe)
    for argument in rest[1:]:
        name = argument.lstrip("-").removeprefix("no").partition("=")[0]
        if argument.startswith("-") and name.startswith("config."):
            config_lib.check_key(name.removeprefix("config."))
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=rest)
    command.parse(values, rest, HELP)
    accepted_changes(values.accept_change)
    if here:
        config_lib.expand_home(values.config)
    rules.validate(values.config)
    return values, recipe


def split_recipe(argv: list[str]) -> tuple[str, list[str]]:
    """Return the value of --config, and the arguments without it."""
    recipe, rest = "", []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("--config", "-config"):
            recipe = next(arguments, "")
        elif argument.startswith(("--config=", "-config=")):
            recipe = argument.partition("=")[2]
        else:
            rest.append(argument)
    return recipe, rest


def new_name(recipe: str) -> str:
    """Return the name of a folder under runs/, after the recipe and the time."""
    path, _, variant = recipe.partition(":")
    name = os.path.splitext(os.path.basename(path))[0]
    moment = time.strftime("%Y%m%d-%H%M%S")
    return os.path.join("runs", "-".join(filter(None, (name, variant, moment))))
