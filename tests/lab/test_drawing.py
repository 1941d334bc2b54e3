"""Every picture is drawn in one way: the same look and bytes everywhere, and in a page nothing that is not its own."""

import re
from xml.etree import ElementTree

import matplotlib
import pytest

from maskwise.lab.drawing import LINE_COLOURS, colour_variables, draw_file, draw_inline, mark


def draw_line(figure):
    ax = figure.subplots()
    mark(ax.plot([0, 1], [2.0, 3.0], "o")[0], "dot", "a <hint> & more")
    ax.set_title("from $0 to $1")


def test_a_picture_is_the_same_whatever_the_users_settings_are(tmp_path):
    """A page made from a copied folder on another machine would differ from the first."""
    before = draw_inline("t", (100, 50), draw_line)
    draw_file(tmp_path / "a.svg", (3, 2), draw_line)
    user = {"lines.linewidth": 7, "axes.facecolor": "red", "svg.hashsalt": "mine", "text.parse_math": True}
    with matplotlib.rc_context(user):
        assert draw_inline("t", (100, 50), draw_line) == before
        draw_file(tmp_path / "b.svg", (3, 2), draw_line)
        assert matplotlib.rcParams["lines.linewidth"] == 7
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "Date" not in (tmp_path / "a.svg").read_text() and "dc:date" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_the_ending_of_a_file_is_its_format_and_nothing_else_is_left(name, begins, tmp_path):
    draw_file(tmp_path / name, (3, 2), draw_line)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path):
    (tmp_path / "a.svg").write_text("old")
    with pytest.raises(ZeroDivisionError):
        draw_file(tmp_path / "a.svg", (3, 2), lambda figure: 1 / 0)
    assert (tmp_path / "a.svg").read_text() == "old"


def test_a_mark_in_a_page_has_its_class_and_its_hint_as_text():
    root = ElementTree.fromstring(draw_inline("a & b", (100, 50), draw_line))
    (dot,) = [group for group in root.iter("g") if group.get("class") == "dot"]
    assert dot[0].tag == "title" and dot[0].text == "a <hint> & more"
    assert "from $0 to $1" in [text.text for text in root.iter("text")]
    assert root.attrib == {"class": "chart", "role": "img", "aria-label": "a & b", "viewBox": "0 0 100 50"}
    assert ElementTree.fromstring(draw_inline(None, (9, 9), draw_line)).get("aria-hidden") == "true"


def test_a_picture_in_a_page_brings_no_style_font_or_address_of_its_own():
    """A style sheet inside an SVG holds for the whole page, and a page may fetch nothing."""
    svg = draw_inline("t", (100, 50), draw_line)
    assert not re.search("http|<style|<metadata|DejaVu|xmlns|@import|<!", svg)
    assert "var(--a1)" in svg and "#c8501f" not in svg


def test_a_name_in_any_letters_is_drawn_as_text_and_what_xml_forbids_is_replaced():
    """Names and tokens come from the user's data; a page with one of them could not be made otherwise."""
    for name, shown in (("随机 🎲", "随机 🎲"), ("a\x01b\uffffc", "a\ufffdb\ufffdc")):
        svg = draw_inline("t", (100, 50), lambda figure, name=name: mark(figure.text(0, 0, name), "name", name))
        (text,), (title,) = (list(ElementTree.fromstring(svg).iter(tag)) for tag in ("text", "title"))
        assert text.text == title.text == shown


def test_two_pictures_share_no_name():
    names = [set(re.findall(r'\bid="([^"]*)"', draw_inline(title, (100, 50), draw_line))) for title in ("one", "two")]
    assert all(names) and not names[0] & names[1]


def test_colours_of_a_page_are_told_apart():
    """Two variables of one colour could not be put back into a picture."""
    colours = colour_variables()
    assert len(set(colours.values())) == len(colours)
    assert [colours[f"a{number}"] for number in range(8)] == list(LINE_COLOURS)


def test_a_colour_that_a_page_does_not_have_is_a_mistake_of_ours():
    with pytest.raises(KeyError, match="123456"):
        draw_inline("t", (100, 50), lambda figure: figure.text(0, 0, "x", color="#123456"))
