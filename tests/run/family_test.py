"""From a config to the member that acts, its radius, and the steps on which it does."""

import pytest
import tensorflow as tf

from sam_pod import errors, sam
from sam_pod.config import sam_rows
from sam_pod.run import family
from sam_pod.step.cadence import Cadence
from tests import fixtures
from tests.config.family_rules_test import config_of


@pytest.fixture(scope="module")
def net():
    return fixtures.small_model()


def build(net, values, epoch_steps=10):
    return family.build(config_of({"num_epochs": 8, **values}), net, epoch_steps)


@pytest.mark.parametrize("name", sam_rows.MEMBERS)
def test_a_config_of_each_member_gives_it_with_its_own_defaults(net, name):
    """But for 'asam' and 'sam_on', which need roles, the defaults of `build`."""
    values = {"sam.variant": name, "optimizer.nesterov": False}
    built = build(net, values)
    assert built.variant.name == name
    module = getattr(sam, name)
    roles = (net.roles(),) if name in ("asam", "sam_on") else ()
    expected = module.build(*roles)
    for field in ("memory_names", "perturbs", "part", "period", "metrics", "passes"):
        assert getattr(built.variant, field) == getattr(expected, field), field
    assert built.cadence == Cadence()


def test_rho_0_and_a_member_of_nothing_are_the_plain_optimizer(net):
    values = {"sam.variant": "looksam", "sam.rho": 0.0, "sam.looksam.k": 1000}
    assert build(net, values).variant is sam.PLAIN
    values = {"sam.variant": "wsam", "sam.wsam.gamma": 0.0}
    assert build(net, values).variant is sam.PLAIN


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sam.start": "1", "sam.end": "1.01"},
            "`sam.start` is 1 and `sam.end` 1.01, between which there is no step",
        ),
        ({"sam.every": 81}, "`sam.every` is 81; it must be at most the 80 steps"),
        (
            {"sam.every": 11, "sam.start": "87.5%"},
            "`sam.every` is 11; it must be at most the 10 steps from `sam.start` to",
        ),
        (
            {"sam.variant": "looksam", "sam.looksam.k": 21, "sam.end": "2"},
            "`sam.looksam.k` is 21; it must be at most the 20 steps",
        ),
    ],
)
def test_a_member_that_would_not_act_is_refused(net, values, message):
    with pytest.raises(errors.UserError, match=f"^{message}"):
        build(net, values)


def test_sam_on_needs_a_normalization():
    values = {"sam.variant": "sam_on"}
    with pytest.raises(
        errors.UserError,
        match=r"^`sam\.variant` is 'sam_on', .* of a Keras normalization; take another",
    ):
        build(fixtures.small_model(norm=False), values)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.4, 0.4, 0.4, 0.4]),
        ("linear", [0.1, 0.1 + 0.3 / 41, 0.1 + 0.3 * 21 / 41, 0.4]),
        ("cosine", [0.4, 0.4, 0.25, 0.1]),
        ("learning_rate", [0.1, 0.175, 0.25, 0.4]),
    ],
)
def test_rho_follows_its_schedule_inside_the_window(net, name, expected):
    values = {
        "sam.rho": 0.4,
        "sam.rho_min": 0.1,
        "sam.rho_schedule": name,
        "sam.start": "4",
        "sam.end": "8.1",
    }
    rho = build(net, {**values, "num_epochs": 9}).rho
    found = [
        float(rho(tf.constant(step, tf.int64), tf.constant(rate)))
        for step, rate in ((0, 0.0), (40, 0.025), (60, 0.05), (80, 0.1))
    ]
    assert found == pytest.approx(expected)


def test_gsams_radius_follows_the_learning_rate_by_itself(net):
    rho = build(net, {"sam.variant": "gsam", "sam.rho": 0.4}).rho
    step = tf.constant(0, tf.int64)
    assert float(rho(step, tf.constant(0.05))) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("end", "expected"),
    [(0.01, [0.1, 0.1, 0.1 + 0.3 * 0.49 / 0.99, 0.4]), (1.0, [0.4] * 4)],
)
def test_gsams_radius_is_least_where_the_learning_rate_ends(net, end, expected):
    """As in its paper, by (rate - lowest) / (highest - lowest); never below."""
    values = {
        "sam.variant": "gsam",
        "sam.rho": 0.4,
        "sam.rho_min": 0.1,
        "schedule.name": "polynomial",
        "schedule.end": end,
    }
    rho = build(net, values).rho
    step = tf.constant(0, tf.int64)
    found = [float(rho(step, tf.constant(r))) for r in (1e-6, 1e-3, 0.05, 0.1)]
    assert found == pytest.approx(expected, rel=1e-5)


def test_sam_on_says_how_many_variables_it_perturbs(net, caplog):
    caplog.set_level("INFO", logger="absl")
    build(net, {"sam.variant": "sam_on"})
    assert "'sam_on' perturbs 2 of 5 variables" in caplog.text
    build(net, {"sam.variant": "sam_on", "sam.sam_on.reverse": True})
    assert "'sam_on' perturbs 3 of 5 variables" in caplog.text
