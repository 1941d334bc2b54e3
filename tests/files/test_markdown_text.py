"""Names and descriptions in Markdown stay text."""

import pytest

from maskwise.files.markdown_text import code_span, markdown_text
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.model_card import model_card


@pytest.mark.parametrize(
    "text", ["<script>x</script>", "</td>", "<!-- x -->", "<?php", "<img src=x>", "![x](javascript:y)", "[x](y)"]
)
def test_nothing_of_a_page_is_left(text):
    shown = markdown_text(text)
    assert not any(f"<{after}" in shown for after in "sti/!?")
    assert "](" not in shown


def test_figures_are_left_as_they_are():
    assert markdown_text("p < 0.05 & |d| <= 3") == "p < 0.05 & |d| <= 3"


def test_a_code_span_ends_where_it_should():
    assert code_span("a`b\n\n<i>") == "`a'b <i>`"


def test_a_model_card_shows_names_and_descriptions_as_text():
    settings = resolve({"description": "Masks <b>all</b>", "data": {"path": "d"}, "model": {"preset": "tiny"}})
    card = model_card(settings, {"sources": [{"name": "a`<script>.txt"}], "block": 16, "mode": "concat"}, {})
    assert "&lt;b>all" in card.split("## Settings")[0]
    assert "`a'<script>.txt`" in card
