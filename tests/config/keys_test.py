"""Config: keys, types, ranges, recipes; each error says which key and what rule."""

import ast
import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

from sam_pod import errors
from sam_pod.config import batch, recipes, rows
from sam_pod.config import keys as config_lib
from sam_pod.config.first_keys import FIRST_KEYS

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = """
import ml_collections
VARIANTS = ("", "big")
def get_config(variant):
    config = ml_collections.ConfigDict({body})
    return config
"""


def recipe(tmp_path, body):
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE.format(body=body))
    return str(path)


def test_a_recipe_lies_over_the_defaults(tmp_path):
    path = recipe(tmp_path, '{"seed": 3, "sam": {"rho": 1}, "data": {"dir": "x"}}')
    config = recipes.load(path)
    assert (config.seed, config.sam.rho, config.data.dir) == (3, 1.0, "x")
    assert isinstance(config.sam.rho, float)
    assert config.sam.sync == "global"
    assert config.is_locked


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"sam": {"roh": 1.0}}', r"Unknown config key `sam\.roh`.*`sam\.rho`"),
        ('{"learning_rate": 1.0}', r"`learning_rate`.*`optimizer\.learning_rate`"),
        ('{"sam": {"rho": "big"}}', r"`sam\.rho` in .* is 'big'.*type float"),
        ('{"seed": None}', r"`seed` in .* is None.*type int"),
        ('{"seed": True}', r"`seed` in .* is True.*type int"),
        ("{3: 4}", r"Unknown config key `3`"),
        ('{"seed": 1.5}', r"`seed` in .* is 1\.5.*type int"),
    ],
)
def test_a_wrong_recipe_names_the_key(tmp_path, body, message):
    with pytest.raises(errors.UserError, match=message):
        recipes.load(recipe(tmp_path, body))


def test_missing_recipes_and_variants(tmp_path):
    with pytest.raises(errors.UserError, match=r"No recipe at 'nowhere\.py'"):
        recipes.load("nowhere.py:big")
    path = recipe(tmp_path, "{}")
    recipes.load(path + ":big")
    with pytest.raises(errors.UserError, match=r"no variant 'bgi'.*Did you mean 'big'"):
        recipes.load(path + ":bgi")
    (tmp_path / "recipe.txt").write_text("")
    with pytest.raises(errors.UserError, match="not a Python file"):
        recipes.load(str(tmp_path / "recipe.txt"))
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(errors.UserError, match="has no get_config"):
        recipes.load(str(tmp_path / "empty.py"))
    (tmp_path / "broken.py").write_text("def get_config(:")
    with pytest.raises(errors.UserError, match=r"broken\.py, line 1.*invalid syntax"):
        recipes.load(str(tmp_path / "broken.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "line 1: ModuleNotFoundError: No module named"),
        ("\nx = y", "line 2: NameError"),
        ("def get_config(): pass", "TypeError"),
        ("def get_config(v):\n    return 1 / 0", "line 2: ZeroDivisionError"),
        ("def get_config(v):\n    return None", "returns a NoneType; it must return"),
    ],
)
def test_a_recipe_that_breaks_is_one_line(tmp_path, monkeypatch, text, message):
    path = tmp_path / "recipe.py"
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    for name in (str(path), "recipe.py", "./recipe.py"):
        with pytest.raises(errors.UserError, match=message) as raised:
            recipes.load(name)
        assert "\n" not in str(raised.value)


def test_a_placeholder_without_its_value_is_named(tmp_path):
    body = """{
        "num_epochs": 2,
        "optimizer": {"weight_decay": ml_collections.config_dict.required_placeholder(
            float
        )},
    }"""
    with pytest.raises(errors.UserError, match=r"`optimizer\.weight_decay` is a place"):
        recipes.load(recipe(tmp_path, body))


def test_batches_divide_by_the_replicas():
    assert batch.per_replica_batch_size(12, 4) == 3
    with pytest.raises(errors.UserError, match=r"\(10\).*\(4\): take 8 or 12\."):
        batch.per_replica_batch_size(10, 4)
    with pytest.raises(errors.UserError, match=r"take 4\."):
        batch.per_replica_batch_size(2, 4)
    assert batch.per_replica_batch_size(48, 4, 6) == 12
    parts = r"\(4\), times `sam\.micro_batches` and `accumulate_steps` \(6\): take 24"
    with pytest.raises(errors.UserError, match=parts):
        batch.per_replica_batch_size(32, 4, 6)


def test_a_group_size_may_be_a_number_in_a_recipe(tmp_path):
    config = recipes.load(recipe(tmp_path, '{"sam": {"sync": 4}}'))
    assert config.sam.sync == "4"
    with pytest.raises(errors.UserError, match=r"`sam\.sync` in .* is True"):
        recipes.load(recipe(tmp_path, '{"sam": {"sync": True}}'))


def test_differences_and_digest_leave_out_what_changes_nothing():
    old, new = config_lib.defaults(), config_lib.defaults()
    new.data.dir = "elsewhere"
    new.profile_steps = 5
    assert config_lib.differences(old.to_dict(), new) == []
    assert config_lib.digest(old) == config_lib.digest(new)
    new.sam.rho = 0.1
    assert config_lib.differences(old.to_dict(), new) == [("sam.rho", 0.05, 0.1)]
    assert config_lib.digest(old) != config_lib.digest(new)


def test_a_new_key_at_its_default_changes_no_digest(monkeypatch):
    before = config_lib.defaults()
    # As the first version computed it, over every key that is not free.
    first = {k: v for k, v in config_lib.flatten(before).items() if k in FIRST_KEYS}
    whole = hashlib.sha256(json.dumps(first, sort_keys=True).encode()).hexdigest()
    assert whole == "7e668aa0d99ad064fe5c8e14b8f0ae6231c6683ab7ceea6a2f0cf31b7a893521"
    assert config_lib.digest(before) == whole

    def with_new_key():
        config = before.copy_and_resolve_references().unlock()
        config.model.colour = "blue"
        return config.lock()

    monkeypatch.setattr(config_lib, "defaults", with_new_key)
    config = config_lib.defaults()
    assert config_lib.digest(config) == whole
    config.model.colour = "red"
    assert config_lib.digest(config) != whole


def test_every_key_has_one_row_that_says_what_it_is_for():
    names = [row.name for row in rows.ROWS]
    assert len(set(names)) == len(names)
    assert set(FIRST_KEYS) <= set(names) - config_lib.FREE_KEYS
    for row in rows.ROWS:
        assert row.help.endswith("."), row.name
        assert row.rule.holds(row.default), row.name


def test_the_keys_that_may_change_are_those_that_change_no_number():
    """A list of its own: a row that says so by mistake would continue another run."""
    assert {
        "checkpoint.every_seconds",
        "data.dir",
        "data.memory_fraction",
        "log_every_seconds",
        "profile_steps",
        "sharpness.every_epochs",
        "sharpness.examples",
        "sharpness.iterations",
        "sharpness.measures",
        "storage.retry_seconds",
        "watchdog.compile_seconds",
        "watchdog.connect_seconds",
        "watchdog.loop_seconds",
    } == config_lib.FREE_KEYS
    assert {"runtime.strategy", "runtime.cpu_replicas"} == config_lib.PLACE_KEYS


def keys_read(path):
    """Return every `config.a.b` that a source file reads, as 'a.b'."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node).split(".")
            if chain[0] == "schedule":  # train.py's name for config.schedule.
                chain.insert(0, "config")
            if "config" in chain:
                found.add(".".join(chain[chain.index("config") + 1 :]))
    return found


def test_every_key_is_read():
    sources = [p for p in (ROOT / "sam_pod").rglob("*.py") if p.name != "config.py"]
    read = set().union(*map(keys_read, sources))
    assert set(config_lib.flatten(config_lib.defaults())) <= read


def test_importing_the_config_does_not_import_tensorflow():
    code = "import sys, sam_pod.config.keys; print('tensorflow' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
