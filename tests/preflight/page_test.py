"""The page says all that the report does, and nothing in it is taken for markup."""

import copy
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from sam_pod.preflight import page, rows
from tests.preflight import reports

EXECUTION = {
    "replicas": 4,
    "steps": 3,
    "differences": {"loss": 1.25e-7, "gradient": 3.5e-6, "weights": 2.5e-7},
    "bounds": {"loss": 1e-3, "gradient": 1e-3, "weights": 1e-3},
    "gradient_rounding": 1e-6,
    "are_replicas_equal": True,
    "is_passed": True,
}


class Reader(HTMLParser):
    """Checks as a browser reads it that elements end in the order they began."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        assert tag == "meta"


def read(found):
    text = page.html(found)
    assert text.isascii()
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert not reader.tags & {"script", "img", "link", "iframe", "object"}
    return ElementTree.fromstring(text)


def lines(root):
    """Return the cells of each row, as they are shown."""
    return [["".join(cell.itertext()) for cell in tr] for tr in root.iter("tr")]


def shown(root):
    return " ".join(root.itertext())


def failed(report, index, detail="21.3 of 16.000 GiB: reduce `global_batch_size`"):
    report = copy.deepcopy(report)
    report["checks"][index] |= {"is_passed": False, "detail": detail}
    return report


def test_the_head_tells_the_essentials():
    root = read(reports.whole())
    assert "resnet20" in root.find("body/h1").text
    pairs = {div[0].text: div[1].text for div in root.iter("div") if len(div) == 2}
    assert pairs == {
        "model": "resnet20",
        "dtype": "bfloat16",
        "sync": "global",
        "rho": "0.05",
        "batch, global": "2048",
        "libtpu": "0.0.7",
        "runtime": "JAX (pjrt)",
    }


def test_every_figure_of_the_text_is_in_the_page():
    report = reports.topology()
    found = lines(read(reports.whole(report)))
    for row in rows.figures(report["programs"]):
        assert [row[0].strip(), *row[1:]] in found
    for row in list(rows.collectives(report["programs"]))[1:]:
        assert list(row) in found
    text = shown(read(reports.whole(report)))
    assert rows.title(report) in text and rows.extent(report) in text


def test_every_check_is_in_the_page_with_its_number_and_a_word():
    report = failed(reports.topology(), 2)
    found = lines(read(reports.whole(report)))
    for check in report["checks"]:
        mark = "✓ pass" if check["is_passed"] else "✗ FAIL"
        assert [mark, check["program"], check["check"], check["detail"]] in found


def test_the_verdict_tells_what_fails():
    good, bad = reports.topology(), failed(reports.topology(), 2)
    root = read(reports.whole(good, bad, execution=EXECUTION))
    first, second, last = [
        "".join(div.itertext())
        for div in root.iter("div")
        if "verdict" in div.get("class", "")
    ]
    assert first == "✓ All 6 checks pass"
    assert second == (
        "✗ 1 of 6 checks FAIL"
        "plain step: fits (21.3 of 16.000 GiB: reduce `global_batch_size`)"
    )
    assert last == "✓ All 4 checks pass"
    assert lines(root)[:3] == [
        ["✓ pass", "v5e:2x4 (v5litepod-8)", "all 6 checks pass"],
        ["✗ FAIL", "v5e:2x4 (v5litepod-8)", "1 of 6 checks FAIL"],
        ["✓ pass", "Execution", "all 4 checks pass"],
    ]


def test_memory_has_a_legend_with_numbers():
    found = lines(read(reports.whole()))
    assert ["part", "SAM step", "plain step", "evaluation"] in found
    assert ["activations", "75", "70", "0"] in found
    assert ["free", "16,223", "16,228", "16,298"] in found


def test_the_largest_batch_is_told_when_it_was_sought():
    report = reports.topology()
    assert "argest batch" not in shown(read(reports.whole(report)))
    report["largest_batch"] = {"fits": 12288, "fails": 13312}
    text = shown(read(reports.whole(report)))
    assert "Largest batch a replica: 12288 fits, 13312 does not." in text


@pytest.mark.parametrize("worst", [3.5e-6, 0.5, float("nan")])
def test_the_execution_is_told_when_there_was_one(worst):
    differences = {"loss": 1.25e-7, "gradient": worst}
    execution = EXECUTION | {"differences": differences, "are_replicas_equal": False}
    root = read(reports.whole(execution=execution))
    mark = "✓ pass" if worst < 1e-3 else "✗ FAIL"
    detail = f"differs by {worst:.2e} of its norm (at most 1.00e-03)"
    assert [mark, "executed", "gradient", detail] in lines(root)
    assert [
        "✗ FAIL",
        "executed",
        "replicas are equal to the last bit",
        "",
    ] in lines(root)
    assert "3 step(s) on 4 virtual devices" in shown(root)


def test_an_execution_alone_makes_a_page():
    found = reports.whole(execution=EXECUTION) | {"topologies": [], "libtpu": ""}
    assert "All 4 checks pass" in shown(read(found))


def test_a_program_with_an_error_tells_it_and_leaves_the_others():
    broken = {"error": "Ran out of memory: <21.30G> of 15.75G hbm"}
    report = reports.topology(SAM_step=broken, plain_step=reports.program())
    root = read(reports.whole(failed(report, 0)))
    assert "has no figures: Ran out of memory: <21.30G>" in shown(root)
    assert ["GFLOP", "-", "111.3", ""] in lines(root)
    assert ["activations", "75"] in lines(root)


def test_nothing_but_errors_makes_a_page():
    programs = {"plain_step": {"error": "a"}, "evaluation": {"error": "b"}}
    text = shown(read(reports.whole(reports.topology(**programs))))
    assert "No program has figures." in text and "Nothing is exchanged" not in text


def test_without_sam_there_is_no_column_to_compare():
    report = reports.topology(plain_step=reports.program())
    assert ["per replica and step", "plain step"] in lines(read(reports.whole(report)))


def test_one_replica_exchanges_nothing():
    alone = reports.program() | {"collectives": []}
    root = read(reports.whole(reports.topology(plain_step=alone)))
    assert "Nothing is exchanged." in shown(root)


def test_text_is_never_markup():
    evil = '<script>alert("x")</script>\'&amp;\x1b[31m\ud800é'
    report = failed(reports.topology(), 0, detail=evil)
    report["topology"] = evil
    report["programs"]["SAM step"] = {"error": evil}
    root = read(reports.whole(report, model=evil))
    safe = evil.replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")
    assert root.find("body/h1").text == f"Preflight of {safe}"
    assert root.find("head/title").text == f"Preflight of {safe}"
    assert ["✗ FAIL", "SAM step", "fits", safe] in lines(root)


def test_nothing_is_fetched():
    text = page.html(reports.whole(execution=EXECUTION))
    for word in ("http", "src=", "url(", "@import", "//"):
        assert word not in text


def test_it_can_be_read_aloud():
    root = read(reports.whole(reports.topology(), reports.topology()))
    assert root.get("lang") == "en"
    assert all(th.get("scope") in ("row", "col") for th in root.iter("th"))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    links = [a.get("href").removeprefix("#") for a in root.iter("a")]
    assert len(links) == 2 and set(links) <= set(ids)
    for svg in root.iter("svg"):
        is_told = set(svg.get("aria-labelledby", "").split()) <= set(ids)
        assert svg.get("aria-hidden") or (svg.get("role") == "img" and is_told)
