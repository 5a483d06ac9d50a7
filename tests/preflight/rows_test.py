"""The rows of a report's table of collectives."""

from sam_pod.preflight import rows
from tests.preflight import reports


def test_equal_collectives_are_one_row_with_their_number():
    program = reports.program()
    (collective,) = program["collectives"]
    other = collective | {"operands": 3}
    program["collectives"] = [collective, other, dict(collective), collective]
    plain = reports.program() | {"collectives": [collective]}
    _, *found = rows.collectives({"SAM step": program, "plain step": plain})
    rest = ("1.08", "2 x 4", "descent 1.08, statistics 0.00551")
    assert found == [
        ("SAM step", "3 x all-reduce", "110", *rest),
        ("SAM step", "all-reduce", "3", *rest),
        ("plain step", "all-reduce", "110", *rest),
    ]
