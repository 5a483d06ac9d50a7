"""What a run will cost, against what the members themselves declare."""

import pytest

from sam_pod import sam
from sam_pod.config import keys, passes
from sam_pod.preflight import members


def config_of(**overrides):
    config = keys.defaults()
    config.update_from_flattened_dict(overrides)
    return config


def declared(variant):
    if variant.between is None:
        return variant.passes
    others = (variant.period - 1) * variant.between.passes
    return (variant.passes + others) / variant.period


@pytest.mark.parametrize("member", members.MEMBERS, ids=lambda m: str(m.keys))
def test_a_step_costs_what_its_member_declares(member):
    found = passes.mean(config_of(**member.keys))
    assert found == pytest.approx(declared(member.variant))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"sam.rho": 0.0}, 1),
        ({"sam.every": 5}, 1.2),
        ({"sam.start": "75%"}, 1.25),
        ({"sam.start": "20", "sam.end": "70", "sam.every": 2}, 1.25),
        ({"sam.variant": "esam", "sam.esam.gamma": 1.0}, 2),
        ({"sam.variant": "sam_on", "sam.sam_on.reverse": True}, 2),
        # Nothing is left of these: the run takes sam.PLAIN (sam/wsam.py, sam/gsam.py).
        ({"sam.variant": "wsam", "sam.wsam.gamma": 0.0}, 1),
        (
            {
                "sam.variant": "gsam",
                "sam.gsam.minimizes": "clean",
                "sam.gsam.alpha": 0.0,
                "sam.start": "50%",
            },
            1,
        ),
    ],
)
def test_a_window_and_a_period_cost_their_share(overrides, expected):
    assert passes.mean(config_of(**overrides)) == pytest.approx(expected)


def test_members_of_which_nothing_is_left_are_the_plain_optimizer():
    for variant in (sam.wsam.build(0.0), sam.gsam.build(0.0, "clean")):
        assert variant is sam.PLAIN and variant.passes == 1
    assert sam.gsam.build(0.0).passes == passes.mean(
        config_of(**{"sam.variant": "gsam", "sam.gsam.alpha": 0.0})
    )
