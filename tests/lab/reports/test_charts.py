"""Pictures show every seed where it belongs, and nothing that was not measured."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.lab.drawing import LINE_COLOURS, colour_variables
from maskwise.lab.reports.charts import Bar, ChartLine, Strip, bars, curves, mean_points, strips, swatch

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
VARIABLES = colour_variables()


def marks(svg, kind):
    """The groups of one kind of mark."""
    return [group for group in ElementTree.fromstring(svg).iter("g") if group.get("class") == kind]


def hint(group):
    return group.find("title").text


def places(svg, kind):
    """Where marks of a kind were put, from the left."""
    return [float(use.get("x")) for group in marks(svg, kind) for use in group.iter("use")]


def texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter("text")]


def colours(svg):
    return {name for name in VARIABLES if f"var(--{name})" in svg}


def test_every_seed_is_a_dot_and_dots_lie_in_the_order_of_the_scores():
    row = Strip("high", {0: 0.1, 1: 0.3, 2: 0.2}, 0.2, 0.1, 0.3, 1)
    svg = strips("t", [row])
    first, last, middle = places(svg, "dot")
    assert first < middle < last
    assert middle == pytest.approx((first + last) / 2, abs=0.02)
    assert places(svg, "mean") == [middle]
    assert [hint(dot) for dot in marks(svg, "dot")] == ["high, seed 0: 0.1", "high, seed 1: 0.3", "high, seed 2: 0.2"]
    assert hint(marks(svg, "interval")[0]) == "high: mean 0.2, interval 0.1 to 0.3"


def test_one_seed_has_no_interval():
    row = Strip("high", {0: 0.1}, 0.1, math.nan, math.nan, 0)
    svg = strips("t", [row], line=0.0, band=0.01)
    assert len(marks(svg, "dot")) == 1
    assert not marks(svg, "interval")
    assert not marks(svg, "mean")


def test_a_constant_far_away_is_told_and_not_drawn():
    row = Strip("high", {0: 0.81, 1: 0.82}, 0.815, 0.80, 0.83, 0)
    near = strips("t", [row], line=0.80, line_name="constant")
    assert marks(near, "reference") and "dashed: constant 0.8" in texts(near)
    far = strips("t", [row], line=0.0, line_name="constant")
    assert not marks(far, "reference")
    assert "constant 0, left of the picture" in texts(far)


def test_the_margin_is_shaded_as_far_as_it_lies_in_the_picture():
    row = Strip("high", {0: -0.1, 1: 0.3}, 0.1, -0.1, 0.3, 0)
    assert [hint(band) for band in marks(strips("t", [row], band=0.05), "band")] == ["within 0.05 of 0"]
    away = Strip("high", {0: 8.1, 1: 8.3}, 8.2, 8.1, 8.3, 0)
    assert not marks(strips("t", [away], band=0.05), "band")


def test_an_interval_that_leaves_the_picture_ends_in_an_arrow():
    near = Strip("near", {0: 0.10, 1: 0.12}, 0.11, 0.09, 0.13, 0)
    wide = Strip("wide", {0: 0.10, 1: 0.12}, 0.11, -9.0, 9.0, 0)
    one_sided = Strip("wide", {0: 0.10, 1: 0.12}, 0.11, 0.09, 9.0, 0)
    found = [[len(marks(strips("t", [row]), kind)) for kind in ("stop", "arrow")] for row in (near, wide, one_sided)]
    assert found == [[2, 0], [0, 2], [1, 1]]


def test_names_are_text_whatever_is_in_them():
    name = "<script>&'\""
    svg = strips("<t>", [Strip(name, {0: 1.0, 1: 2.0}, 1.5, 1.0, 2.0, 0)])
    assert "<script" not in svg
    assert hint(marks(svg, "name")[0]) == name
    assert ElementTree.fromstring(svg).get("aria-label") == "<t>"


def test_a_long_name_is_cut_and_pointing_at_it_shows_it_whole():
    name = "$alpha$ is a name, not a formula"
    svg = strips("t", [Strip(name, {0: 1.0, 1: 2.0}, 1.5, 1.0, 2.0, 0)])
    assert "$alpha$ is a name, …" in texts(svg)
    assert hint(marks(svg, "name")[0]) == name


@settings(max_examples=30, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=9), FINITE)
def test_any_scores_make_a_picture_with_all_dots_inside(values, line):
    mean = sum(values) / len(values)
    row = Strip("a", dict(enumerate(values)), mean, min(values), max(values), 9)
    svg = strips("t", [row], line=line, line_name="x", band=0.5)
    found = places(svg, "dot")
    assert len(found) == len(values)
    assert all(100 <= place <= 360 for place in found)


def test_the_mean_of_curves_is_of_the_steps_that_all_have():
    assert mean_points([[(1, 4.0), (2, 2.0)], [(1, 2.0), (2, 1.0), (3, 0.5)]]) == [(1, 3.0), (2, 1.5)]
    assert mean_points([]) == []


def test_curves_show_an_arms_mean_over_its_seeds():
    points = [(10.0, 9.0), (100.0, 4.0), (200.0, 3.0)]
    svg = curves(
        "t",
        "steps",
        [ChartLine(0, points, bold=False), ChartLine(0, points, bold=True), ChartLine(1, points, bold=True)],
    )
    kinds = [group.get("class") for group in ElementTree.fromstring(svg).iter("g") if group.get("class")]
    assert kinds == ["thin", "curve", "curve"]
    solid, dashed = (line.find("path").get("style") for line in marks(svg, "curve"))
    assert "stroke-dasharray" not in solid and "stroke-dasharray" in dashed
    assert {"steps", "0", "100", "200"} <= set(texts(svg))


def test_early_evaluations_may_lie_above_the_picture_of_the_others():
    """The first loss of a run is several times the last one: it would leave a flat line of what matters."""
    late = [(100.0, 4.0), (150.0, 3.5), (200.0, 3.0)]
    svg = curves("t", "steps", [ChartLine(0, [(10.0, 90.0), *late], bold=True)])
    assert [text for text in texts(svg) if "." in text] == [
        text for text in texts(curves("t", "steps", [ChartLine(0, late, bold=True)])) if "." in text
    ]
    assert "clip-path" in marks(svg, "curve")[0].find("path").attrib


def test_large_counts_have_short_labels():
    svg = curves("t", "counted flops", [ChartLine(0, [(0.0, 2.0), (2e15, 1.0)], bold=True)])
    assert {"0", "1.0e15", "2.0e15"} <= set(texts(svg))


def test_shares_fill_the_bar():
    svg = bars("t", [Bar("random", [0.5, 0.25, 0.15, 0.08, 0.02])], list("abcde"))
    pieces = marks(svg, "share")
    assert [hint(piece) for piece in pieces] == [
        "random, a: 50.0%", "random, b: 25.0%", "random, c: 15.0%", "random, d: 8.0%", "random, e: 2.0%",
    ]  # fmt: skip
    corners = [[float(word) for word in piece.find("path").get("d").split() if word[-1].isdigit()] for piece in pieces]
    widths = [max(numbers[::2]) - min(numbers[::2]) for numbers in corners]
    assert widths == pytest.approx([share * (360 - 142 - 14) for share in (0.5, 0.25, 0.15, 0.08, 0.02)], abs=0.05)
    assert [text for text in texts(svg) if "%" in text] == ["50%", "25%", "15%"]


def test_arms_have_their_colours_in_every_picture():
    row = Strip("high", {0: 0.1, 1: 0.2}, 0.15, 0.1, 0.2, 2)
    assert {"a2", "ink"} <= colours(strips("t", [row])) <= {"a2", "ink", "soft", "line", "paper"}
    assert colours(curves("t", "x", [ChartLine(9, [(1, 2), (2, 1)], bold=True)])) == {"a1", "soft", "line"}
    assert colours(swatch(len(LINE_COLOURS) + 3)) == {"a3", "paper"}
    assert {f"q{number}" for number in range(1, 6)} <= colours(bars("t", [Bar("a", [0.2] * 5)], list("abcde")))
