"""What a member of the family goes with: each refusal is one line with the way on."""

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules, sam_rows


def config_of(values):
    config = config_lib.defaults()
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        place = config
        for part in filter(None, section.split(".")):
            place = place[part]
        place[name] = value
    return config


@pytest.mark.parametrize("variant", sam_rows.MEMBERS)
def test_every_member_goes_with_the_defaults(variant):
    values = {"sam.variant": variant}
    if variant == "msam":
        values["optimizer.nesterov"] = False
    rules.validate(config_of(values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sam.rho_min": 0.1, "sam.rho_schedule": "linear"},
            "`sam.rho_min` is 0.1 and `sam.rho` 0.05; the first must not be above",
        ),
        (
            {"sam.rho_min": 0.01},
            "`sam.rho_min` is 0.01 and rho constant; take a `sam.rho_schedule`",
        ),
        *(
            (
                {"sam.sync": "norm", "sam.variant": name, "optimizer.nesterov": False},
                f"`sam.sync` is 'norm' and `sam.variant` '{name}', .* take 'replica',",
            )
            for name in ("looksam", "friendly", "vasso", "msam")
        ),
        *(
            (
                {"sam.sync": "norm", "sam.norm": p},
                f"`sam.sync` is 'norm' and `sam.norm` '{p}', .* take 'replica',",
            )
            for p in ("inf", "1")
        ),
        *(
            (
                {"sam.sync": "norm", **more},
                "`sam.sync` is 'norm', and `sam.layerwise` or .* take 'replica',",
            )
            for more in ({"sam.layerwise": "trust"}, {"sam.energy": 0.5})
        ),
        *(
            (
                {"sam.norm": "1", "sam.variant": name},
                f"`sam.norm` is '1' and `sam.variant` '{name}'; take '2' or 'inf'",
            )
            for name in ("asam", "sam_on")
        ),
        *(
            (
                {"sam.norm": "inf", **more},
                "`sam.norm` is 'inf', and `sam.layerwise` .*; take one of them",
            )
            for more in ({"sam.layerwise": "unit"}, {"sam.energy": 0.5})
        ),
        (
            {"sam.layerwise": "unit", "sam.energy": 0.5},
            "`sam.layerwise` and `sam.energy` both set .*; take one of them",
        ),
        (
            {"sam.layerwise": "unit", "sam.variant": "asam"},
            "`sam.layerwise` is 'unit' and `sam.variant` 'asam'; take 'trust'",
        ),
        (
            {"sam.every": 2, "sam.variant": "looksam"},
            "`sam.every` is 2 and `sam.variant` 'looksam', .*; set `sam.looksam.k`",
        ),
        (
            {"accumulate_steps": 2, "sam.variant": "esam"},
            "`accumulate_steps` is 2 and `sam.variant` 'esam': .*; take "
            "`accumulate_steps` 1",
        ),
        (
            {
                "sam.micro_batches": 2,
                "sam.variant": "msam",
                "optimizer.nesterov": False,
            },
            "`sam.micro_batches` is 2 and `sam.variant` 'msam', .*; take 1, or "
            "`accumulate_steps`",
        ),
        *(
            (
                {"sam.variant": "msam", "optimizer.nesterov": False, **more},
                f"`sam.variant` is 'msam', which follows a momentum: .*{shown}.*; "
                "change them",
            )
            for more, shown in (
                ({"optimizer.nesterov": True}, "`optimizer.nesterov` True"),
                ({"optimizer.momentum": 0.0}, "`optimizer.momentum` 0.0"),
                ({"optimizer.name": "adam"}, "`optimizer.name` is 'adam'"),
            )
        ),
    ],
)
def test_what_does_not_go_together_is_refused(values, message):
    with pytest.raises(errors.UserError, match=f"^{message}") as raised:
        rules.validate(config_of(values))
    assert "\n" not in str(raised.value)


def test_msam_goes_with_adamw():
    rules.validate(config_of({"sam.variant": "msam", "optimizer.name": "adamw"}))


@pytest.mark.parametrize("name", ["loksam", "lookssam"])
def test_an_unknown_member_names_the_nearest(name):
    with pytest.raises(
        errors.UserError, match=rf"`sam\.variant` is '{name}'.*Did you mean 'looksam'"
    ):
        rules.validate(config_of({"sam.variant": name}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sam.asam.eta", -0.1, "must be 0 or above"),
        ("sam.gsam.alpha", -0.1, "must be 0 or above"),
        ("sam.gsam.minimizes", "both", "must be 'perturbed' or 'clean'"),
        ("sam.looksam.k", 0, "must be above 0"),
        ("sam.looksam.alpha", -1.0, "must be 0 or above"),
        ("sam.esam.beta", 0.0, r"must be in \(0, 1\]"),
        ("sam.esam.beta", 1.5, r"must be in \(0, 1\]"),
        ("sam.esam.gamma", 0.0, r"must be in \(0, 1\]"),
        ("sam.esam.norm", "half", "must be 'kept' or 'full'"),
        ("sam.wsam.gamma", 1.0, r"must be in \[0, 1\)"),
        ("sam.wsam.gamma", -0.5, r"must be in \[0, 1\)"),
        ("sam.sam_on.eta", -1.0, "must be 0 or above"),
        ("sam.friendly.sigma", -1.0, "must be 0 or above"),
        ("sam.friendly.decay", 1.0, r"must be in \[0, 1\)"),
        ("sam.vasso.theta", 0.0, r"must be in \(0, 1\]"),
        ("sam.norm", "3", "must be '2' or 'inf' or '1'"),
        ("sam.layerwise", "all", "must be '' or 'trust' or 'unit'"),
        ("sam.energy", -1.0, "must be 0 or above"),
        ("sam.rho_min", -1.0, "must be 0 or above"),
        ("sam.rho_schedule", "sine", "must be 'auto' or 'constant'"),
        ("sam.every", 0, "must be above 0"),
        ("optimizer.clip_norm", -1.0, "must be 0 or above"),
    ],
)
def test_hyper_parameters_out_of_their_range(key, value, message):
    members = [name for name in sam_rows.MEMBERS if f".{name}." in key]
    values = {"sam.variant": members[0] if members else "sam", key: value}
    with pytest.raises(errors.UserError, match=f"^`{key}` is .*{message}") as raised:
        rules.validate(config_of(values))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("row", [r for r in sam_rows.SAM if r.readers])
def test_a_key_of_another_member_names_the_member_that_reads_it(row):
    other = next(name for name in sam_rows.MEMBERS if name not in row.readers)
    value = {bool: not row.default, str: "?"}.get(type(row.default))
    if value is None:
        value = row.default + 1
        value = value if row.rule.holds(value) else type(value)(row.default / 2)
    if value == "?":
        words = ("inf", "trust", "full", "clean")
        value = next(word for word in words if row.rule.holds(word))
    values = {"sam.variant": other, row.name: value, "optimizer.nesterov": False}
    readers = " and ".join(map(repr, row.readers))
    with pytest.raises(
        errors.UserError,
        match=f"^`{row.name}` is {value!r}, which `sam.variant` {readers} reads?, and "
        f"not '{other}'; leave it at .*, or change the variant",
    ):
        rules.validate(config_of(values))


def test_rho_0_asks_for_no_member():
    """The plain optimizer with a member's keys left from a run before it."""
    rules.validate(config_of({"sam.rho": 0.0, "sam.every": 2, "sam.rho_min": 0.1}))
