"""The table of costs is what the family declares, and what the docs show."""

import pathlib

from sam_pod.config import sam_rows
from sam_pod.preflight import __main__ as main_lib
from sam_pod.preflight import members

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "family.md"


def test_the_docs_show_the_table_that_the_command_prints():
    assert members.table() in DOCS.read_text()


def test_every_member_has_a_row():
    rows = {member.keys["sam.variant"] for member in members.MEMBERS}
    assert rows == set(sam_rows.MEMBERS)


def test_costs_are_those_of_the_papers():
    rows = {}
    for line in members.table().splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    assert rows["sam"] == ["2", "1", "a scalar + 1", "1 in the group + 1", "1 + 1", ""]
    assert rows["looksam"][0] == "1.2 (k = 5)"
    assert rows["random"][0] == "1.33"
    assert rows["esam"][0] == "1.83"
    assert rows["friendly"][1] == "1 of 2 gradients"
    assert rows["msam"] == ["1", "1", "refused", "1", "1", ""]


def test_the_command_prints_it(capsys):
    assert main_lib.main(["preflight", "--members"]) == 0
    assert capsys.readouterr().out.strip() == members.table()
