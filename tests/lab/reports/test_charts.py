"""Pictures show every seed where it belongs, and nothing that was not measured."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.reports.charts import AxisScale, Bar, ChartLine, Strip, bars, curves, mean_points, strips

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def shapes(svg, tag, cls=None):
    found = ElementTree.fromstring(svg).iter(tag)
    return [shape for shape in found if cls is None or cls in shape.get("class", "").split()]


def test_every_seed_is_a_dot_and_dots_lie_in_the_order_of_the_scores():
    row = Strip("high", {0: 0.1, 1: 0.3, 2: 0.2}, 0.2, 0.1, 0.3, 1)
    dots = shapes(strips("t", [row]), "circle", "dot")
    places = [float(dot.get("cx")) for dot in dots]
    assert len(dots) == 3
    assert places[0] < places[2] < places[1]
    assert [dot.find("title").text for dot in dots] == ["high, seed 0: 0.1", "high, seed 1: 0.3", "high, seed 2: 0.2"]


def test_one_seed_has_no_interval():
    row = Strip("high", {0: 0.1}, 0.1, math.nan, math.nan, 0)
    svg = strips("t", [row], line=0.0, band=0.01)
    assert len(shapes(svg, "circle")) == 1
    assert not shapes(svg, "line", "interval")
    assert not shapes(svg, "rect", "mean")


def test_a_constant_far_away_is_told_and_not_drawn():
    row = Strip("high", {0: 0.81, 1: 0.82}, 0.815, 0.80, 0.83, 0)
    assert shapes(strips("t", [row], line=0.80, line_name="constant"), "line", "reference")
    far = strips("t", [row], line=0.0, line_name="constant")
    assert not shapes(far, "line", "reference")
    assert "left of the picture" in far


def test_an_interval_that_leaves_the_picture_ends_in_an_arrow():
    near = Strip("near", {0: 0.10, 1: 0.12}, 0.11, 0.09, 0.13, 0)
    wide = Strip("wide", {0: 0.10, 1: 0.12}, 0.11, -9.0, 9.0, 0)
    assert not shapes(strips("t", [near]), "polygon", "arrow")
    assert len(shapes(strips("t", [wide]), "polygon", "arrow")) == 2


def test_names_are_text_whatever_is_in_them():
    svg = strips("<t>", [Strip("<script>&'\"", {0: 1.0, 1: 2.0}, 1.5, 1.0, 2.0, 0)])
    assert "<script" not in svg
    assert shapes(svg, "text", "name")[0].find("title").text == "<script>&'\""


@given(st.lists(FINITE, min_size=1, max_size=9), FINITE)
def test_any_scores_make_a_picture_with_all_dots_inside(values, line):
    mean = sum(values) / len(values)
    row = Strip("a", dict(enumerate(values)), mean, min(values), max(values), 9)
    svg = strips("t", [row], line=line, line_name="x", band=0.5)
    places = [float(dot.get("cx")) for dot in shapes(svg, "circle")]
    assert len(places) == len(values)
    assert all(100 <= place <= 360 for place in places)


@given(FINITE, FINITE)
def test_ticks_lie_in_the_picture_and_differ(one, other):
    scale = AxisScale(min(one, other), max(one, other), 0, 100)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(-0.01 <= scale(value) <= 100.01 for value, _ in ticks)


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
    assert len(shapes(svg, "polyline", "thin")) == 1
    bold = shapes(svg, "polyline", "curve")
    assert len(bold) == 2
    assert bold[0].get("stroke-dasharray") != bold[1].get("stroke-dasharray")


def test_shares_fill_the_bar():
    svg = bars("t", [Bar("random", [0.5, 0.25, 0.15, 0.08, 0.02])], list("abcde"))
    widths = [float(piece.get("width")) for piece in shapes(svg, "rect")]
    assert len(widths) == 5
    assert sum(widths) == pytest.approx(360 - 142 - 14, abs=0.5)
    assert [text.text for text in shapes(svg, "text", "inside")] == ["50%", "25%", "15%"]
