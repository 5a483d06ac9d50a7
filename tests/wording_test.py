"""Numbers in sentences."""

import pytest

from sam_pod import wording


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 layers are"),
        (1, "1 layer is"),
        (2, "2 layers are"),
        (1234, "1,234 layers"),
    ],
)
def test_a_number_is_followed_by_its_own_grammar(count, expected):
    assert wording.counted(count, "layer is", "layers are").startswith(expected)
