"""What the pictures show is where its numbers say."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from sam_pod.preflight import pictures
from tests.preflight import reports


def roofline(report):
    return ElementTree.fromstring(pictures.roofline(report, "r"))


def memory(report):
    return ElementTree.fromstring(pictures.memory(report, "m"))


def scale(picture, axis):
    """Return where a value is, by the first and last line of the grid."""
    side = f"{axis}1"
    found = [
        (math.log10(float(line.get(f"data-{axis}"))), float(line.get(side)))
        for line in picture.iter("line")
        if line.get(f"data-{axis}")
    ]
    (low, start), (high, end) = found[0], found[-1]
    return lambda value: (
        start + (math.log10(value) - low) * (end - start) / (high - low)
    )


def marks(picture):
    return {
        path.get("data-program"): tuple(
            map(float, re.findall(r"[-\d.]+", path.get("transform")))
        )
        for path in picture.iter("path")
        if path.get("data-program")
    }


def box(picture):
    return [float(size) for size in picture.get("viewBox").split()][2:]


def test_points_are_at_their_programs_estimates():
    report = reports.topology()
    picture = roofline(report)
    x, y = scale(picture, "x"), scale(picture, "y")
    found = marks(picture)
    assert list(found) and set(found) == set(report["programs"])
    for name, (across, down) in found.items():
        program = report["programs"][name]
        flops = program["flops"]
        assert across == pytest.approx(x(flops / program["bytes_accessed"]), abs=0.01)
        seconds = program["roofline"]["step_seconds"]
        assert down == pytest.approx(y(flops / seconds), abs=0.01)


def test_the_grid_is_even_in_powers_of_ten():
    picture = roofline(reports.topology())
    for axis in "xy":
        at = scale(picture, axis)
        for line in picture.iter("line"):
            if value := line.get(f"data-{axis}"):
                where = float(line.get(f"{axis}1"))
                assert where == pytest.approx(at(float(value)), abs=0.01)


def test_the_roof_bends_where_compute_and_memory_are_equal():
    picture = roofline(reports.topology())
    x, y = scale(picture, "x"), scale(picture, "y")
    (roof,) = [p for p in picture.iter("path") if p.get("class") == "roof"]
    x0, y0, x1, y1, _ = map(float, re.findall(r"[\d.]+", roof.get("d")))
    ridge = reports.PEAK / reports.BANDWIDTH
    assert (x1, y1) == pytest.approx((x(ridge), y(reports.PEAK)), abs=0.01)
    # The slope is the bandwidth: a tenth of the FLOP a byte, a tenth of the speed.
    lowest = 10 ** (math.log10(ridge) - (x1 - x0) / (x(10) - x(1)))
    assert y0 == pytest.approx(y(lowest * reports.BANDWIDTH), abs=0.01)


def test_a_program_without_exchange_is_on_the_roof_and_one_with_it_beneath():
    found = marks(
        roofline(
            reports.topology(
                alone=reports.program(), exchanging=reports.program(exchange=0.01)
            )
        )
    )
    picture = roofline(reports.topology(alone=reports.program()))
    y, flops_per_byte = scale(picture, "y"), 111.3 / 4.27
    on_the_roof = y(flops_per_byte * reports.BANDWIDTH)
    assert marks(picture)["alone"][1] == pytest.approx(on_the_roof, abs=0.01)
    assert found["exchanging"][1] > found["alone"][1] + 10


@pytest.mark.parametrize("flops", [1e3, 1e9, 1e15])
@pytest.mark.parametrize("accessed", [1e3, 1e9, 1e12])
@pytest.mark.parametrize("exchange", [0.0, 1.0])
def test_everything_is_inside_whatever_the_size(flops, accessed, exchange):
    one = reports.program(flops, accessed, exchange)
    picture = roofline(reports.topology(SAM_step=one, plain_step=one, evaluation=one))
    width, height = box(picture)
    for across, down in marks(picture).values():
        assert 0 < across < width and 0 < down < height
    labels = [t for t in picture.iter("text") if t.get("class") == "label"]
    heights = sorted(float(text.get("y")) for text in labels)
    assert len(heights) == 3 and heights[-1] < height - 50
    assert all(b - a > 14 for a, b in itertools.pairwise(heights))
    for text in labels:
        assert float(text.get("x")) + 6 * len(text.text) < width


def test_labels_tell_each_program_and_its_numbers():
    told = [text.text for text in roofline(reports.topology()).iter("text")]
    assert "plain step: 26.5 FLOP a byte, 21.6 TFLOP/s" in told
    assert "compute: 197 TFLOP/s" in told and "memory: 819 GB/s" in told
    assert "240.5 FLOP a byte" in told


def test_an_empty_program_and_one_with_an_error_have_no_point():
    empty = reports.program() | {"flops": 0.0, "flops_per_byte": 0.0}
    report = reports.topology(empty=empty, broken={"error": "no"})
    assert marks(roofline(report)) == {}


def widths(picture, program):
    """Return [(part, width)] of each of a program's bars."""
    bars = {}
    for rect in picture.iter("rect"):
        if rect.get("data-program") == program:
            bar = bars.setdefault(float(rect.get("y")), [])
            bar.append((rect.get("data-part"), float(rect.get("width"))))
    return [bars[y] for y in sorted(bars)]


def test_parts_are_in_proportion_and_sum_to_the_whole():
    big = reports.program(activations=9000)
    report = reports.topology(SAM_step=big, plain_step=reports.program())
    picture = memory(report)
    for name, program in report["programs"].items():
        (bar,) = widths(picture, name)
        free = reports.HBM - program["memory_bytes"]
        sizes = program["memory"] | {"free": free}
        assert sum(width for _, width in bar) == pytest.approx(720, abs=0.01)
        for part, width in bar:
            assert width == pytest.approx(720 * sizes[part] / reports.HBM, abs=0.001)
        assert {part for part, _ in bar} == set(sizes)


def test_parts_follow_each_other_without_a_gap():
    end = {}
    for rect in memory(reports.topology()).iter("rect"):
        y, x, width = (float(rect.get(key)) for key in ("y", "x", "width"))
        assert x == pytest.approx(end.get(y, 0.0), abs=0.01)
        end[y] = x + width


def test_what_is_tiny_is_enlarged_to_the_largest_program():
    report = reports.topology()
    picture = memory(report)
    used = {n: p["memory_bytes"] for n, p in report["programs"].items()}
    for name in used:
        plain, enlarged = widths(picture, name)
        assert sum(width for _, width in plain) == pytest.approx(720, abs=0.01)
        share = used[name] / max(used.values())
        total = sum(width for _, width in enlarged)
        assert total == pytest.approx(720 * share, abs=0.01)
        assert "free" not in dict(enlarged)
    told = [text.text for text in picture.iter("text")]
    assert "enlarged 102 times: 161.2 MiB" in told
    assert "activations 75 MiB" in told and "161.2 MiB, 0.984 %" in told


def test_a_program_that_does_not_fit_goes_past_the_end_of_the_memory():
    over = reports.program(activations=20000)
    picture = memory(reports.topology(SAM_step=over, plain_step=reports.program()))
    ((*_, (last, nothing)),) = widths(picture, "SAM step")
    (limit,) = picture.iter("line")
    end = 720 * reports.HBM / over["memory_bytes"]
    assert (last, nothing) == ("free", 0)
    assert float(limit.get("x1")) == pytest.approx(end, abs=0.01)
    (plain,) = widths(picture, "plain step")
    assert sum(width for _, width in plain) == pytest.approx(end, abs=0.01)


@pytest.mark.parametrize("draw", [roofline, memory])
def test_pictures_are_told_to_who_cannot_see_them(draw):
    picture = draw(reports.topology())
    title, description = picture[:2]
    assert (title.tag, description.tag) == ("title", "desc")
    assert picture.get("role") == "img"
    ids = [title.get("id"), description.get("id")]
    assert picture.get("aria-labelledby").split() == ids
    assert "v5e:2x4" in title.text and "plain step: " in description.text


def test_names_are_escaped():
    report = reports.topology() | {"programs": {"<b>&\x00": reports.program()}}
    for draw in (roofline, memory):
        told = [text.text for text in draw(report).iter("text")]
        assert any(text.startswith("<b>&\ufffd") for text in told)
