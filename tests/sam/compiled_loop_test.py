"""One's own loop in a tf.function."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from tests.sam.quadratics import quadratic, random_quadratic


@pytest.mark.parametrize(
    "member",
    [
        *(sam.sam.build(), sam.random.build(), sam.gsam.build(), sam.vasso.build()),
        *(sam.looksam.build(k=2), sam.wsam.build(), sam.friendly.build()),
        *(sam.msam.build(), sam.esam.build(gamma=1.0)),
    ],
    ids=lambda member: member.name,
)
def test_a_compiled_function_returns_what_it_finds(member, caplog):
    """Although AutoGraph reads all that it calls, which knows not all of Python."""
    a, w = random_quadratic(3)
    loss = quadratic(tf.constant(a, tf.float32))
    weights = [tf.constant(w, tf.float32)]
    memory = member.start(weights)

    def found(memory):
        given = {"momentum": weights} if member.follows_momentum else {}
        key = tf.constant([1, 2])
        return sam.gradient(
            lambda w: (loss(w)[0], tf.constant(3)),
            weights,
            0.05,
            member.at(0),
            memory,
            key,
            **given,
        )

    caplog.set_level("WARNING", logger="tensorflow")
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        compiled = tf.function(found)(memory)
    finally:
        logger.removeHandler(caplog.handler)
    assert "AutoGraph" not in caplog.text
    eager = found(memory)
    assert isinstance(compiled, type(eager)) and compiled.aux == 3
    assert (compiled.correction is None) == (eager.correction is None)
    assert compiled.memory.keys() == eager.memory.keys()
    for one, other in zip(
        tf.nest.flatten(compiled), tf.nest.flatten(eager), strict=True
    ):
        if other is not None:  # The correction that only WSAM has.
            np.testing.assert_allclose(one, other, rtol=1e-5)
