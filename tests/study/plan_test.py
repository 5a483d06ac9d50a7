"""A study's page: read, or refused in one line."""

import dataclasses
import os

import pytest

from sam_pod import errors
from sam_pod.study import Arm, plan
from tests.study.pages import PLAIN, RECIPE, SAM, study

PAGE = """
from sam_pod.study import Arm, Study
VARIANTS = ("", "b")
def get_study(variant):
    return Study(f"it {variant}", (Arm("one", "../recipe.py:digits"),), seeds=(3,))
"""


def test_a_page_gives_its_study_with_recipes_seen_from_its_folder(tmp_path):
    (tmp_path / "page.py").write_text(PAGE)
    found = plan.load(f"{tmp_path}/page.py:b")
    assert (found.title, found.seeds, found.baseline_name) == ("it b", (3,), "one")
    assert found.arms[0].recipe == f"{os.path.dirname(tmp_path)}/recipe.py:digits"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("get_study(", "study(", "has no get_study"),
        ('Study(f"it', '(lambda *a, **b: 1)(f"it', "returns a int"),
        ("seeds=", "sneeds=", "line 5: TypeError"),
        ("(3,)", "(3, 3)", "none twice"),
        ("(3,)", "()", "`seeds` is ()"),
        ("(3,)", "(0.5,)", "one whole number"),
        ("(3,)", "(2**31,)", "below 2147483648"),
    ],
)
def test_a_wrong_page_is_one_line_that_names_it(old, new, words, tmp_path):
    (tmp_path / "page.py").write_text(PAGE.replace(old, new))
    with pytest.raises(errors.UserError) as refused:
        plan.load(f"{tmp_path}/page.py")
    assert words in str(refused.value) and "page.py" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_page_and_no_such_variant_are_named(tmp_path):
    with pytest.raises(errors.UserError, match=r"No study at '.*gone.py'"):
        plan.load(f"{tmp_path}/gone.py")
    (tmp_path / "page.py").write_text(PAGE)
    with pytest.raises(errors.UserError, match=r"no variant 'c'; it has \['b'\]"):
        plan.load(f"{tmp_path}/page.py:c")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"baseline": "Plain"}, "Did you mean 'plain'"),
        ({"budget": "epoch"}, "'epochs'"),
        ({"metric": "auc"}, "`metric` is 'auc'"),
        ({"overrides": {"seed": 1}}, "sets `seed`"),
        ({"overrides": {"num_epochs": None}}, "`num_epochs of arm 'plain'` is None"),
        ({"overrides": {"sam.rho": (0.1, 0.2)}}, "several that are tried are a `swe"),
        ({"overrides": {5: 0.1}}, "`a key of arm 'plain'` is 5"),
        ({"overrides": None}, "`overrides` is None; it must be a dict"),
        ({"title": 5}, "`title` is 5; it must be a text"),
        ({"note": None}, "`note` is None"),
        ({"baseline": PLAIN}, r"`baseline` is Arm\(name='plain'"),
        ({"metric": ["accuracy"]}, "`metric` is .'accuracy'.; it must be a text"),
        ({"arms": None}, "`arms` is None; it must be a list of one Arm"),
        ({"arms": PLAIN}, r"`arms` is Arm\(name='plain'"),
        ({"arms": (arm for arm in [PLAIN])}, "`arms` is <generator"),
        ({"arms": (Arm(5, RECIPE),)}, "`name of arm 5` is 5; it must be a text"),
        ({"arms": (Arm("a", 5),)}, "`recipe of arm 'a'` is 5"),
        ({"arms": (Arm("a", RECIPE, None),)}, "`overrides of arm 'a'` is None"),
        ({"arms": (Arm("a", RECIPE, ["sam.rho", 1]),)}, "it must be a dict of config"),
        ({"arms": (Arm("a", RECIPE, {}, 3),)}, "`sweep of arm 'a'` is 3"),
        ({"arms": (Arm("a", RECIPE, {}, {"sam.rho": 0.1}),)}, "is 0.1; it must be a l"),
        ({"arms": (Arm("a", RECIPE, {}, {"dtype": "sgd"}),)}, "is 'sgd'; it must be a"),
    ],
)
def test_what_no_study_can_be_is_refused(fields, words):
    with pytest.raises(errors.UserError, match=words):
        study(**fields)


def test_unequal_seeds_and_trials_are_refused():
    own_seed = dataclasses.replace(SAM, overrides={"seed": 7})
    with pytest.raises(errors.UserError, match="all arms have the same seeds"):
        study(PLAIN, own_seed)
    tuned = dataclasses.replace(SAM, sweep={"sam.rho": (0.1, 0.2)})
    with pytest.raises(errors.UserError, match="as many trials in each arm"):
        study(PLAIN, tuned)
    with pytest.raises(errors.UserError, match="none of them twice"):
        study(dataclasses.replace(SAM, sweep={"sam.rho": (0.1, 0.1)}))


def test_arms_of_one_name_are_refused():
    with pytest.raises(errors.UserError, match="names that differ"):
        study(PLAIN, Arm("plain", RECIPE, {"sam.rho": 0.1}))
    with pytest.raises(errors.UserError, match="names of folders"):
        study(Arm("a b", RECIPE), Arm("a/b", RECIPE, {"sam.rho": 0.0}))
