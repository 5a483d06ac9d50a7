"""A recipe that is none is refused in one line."""

import pytest

from sam_pod import errors
from sam_pod.config import command_line

RECIPES = {
    "VARIANTS = 3": "VARIANTS of",
    "VARIANTS = 'small'": "VARIANTS of",
    "VARIANTS = None": "VARIANTS of",
    "VARIANTS = [0]": "VARIANTS of",
    "get_config = 3": "TypeError",
    "raise SystemExit(3)": "SystemExit",
    "def get_config(v): return {}": "must return an ml_collections.ConfigDict",
    "import nothing_like_it": "ModuleNotFoundError",
    "\0": "null bytes",
    "config.sam = 3": "TypeError",
    "config.seed = {'a': 1}": "`seed.a`",
    "config.seed = 'x'": "must be of type int",
    "config.sam.rho = 10 ** 400": "`sam.rho` in",
    "config.sam.rho = 10 ** 5000": "`sam.rho` in",
    "config.sam.rho = float('nan')": "`sam.rho` is nan",
    "config.num_epochs = 10 ** 400": "`num_epochs`",
    "config.num_epochs = 10 ** 5000": "`num_epochs`",
    "config.data = config": "holds itself",
}


@pytest.mark.parametrize("text", RECIPES)
def test_a_recipe_that_is_none(tmp_path, text):
    path = tmp_path / "recipe.py"
    code = f"import ml_collections\n{text}\n"
    if text.startswith("config"):
        code = (
            "import ml_collections\ndef get_config(variant):\n"
            "    config = ml_collections.ConfigDict({'sam': {}, 'data': {}})\n"
            f"    {text}\n    return config\n"
        )
    elif "get_config" not in text:
        code += "def get_config(v): return ml_collections.ConfigDict()\n"
    path.write_text(code)
    with pytest.raises(errors.UserError) as raised:
        command_line.parse(["main", f"--config={path}"])
    assert RECIPES[text] in str(raised.value)
    assert "\n" not in str(raised.value)
