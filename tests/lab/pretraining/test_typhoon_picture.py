"""The picture of Typhoon's table: whom it names, and from what."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from maskwise.lab.pretraining.typhoon_picture import KeepRates, draw_rates, extreme_types, read_rates
from maskwise.masking.masker import Masker
from maskwise.scores.typhoon import Typhoon


@pytest.fixture
def data(tiny_tokenizer):
    counts = np.full(len(tiny_tokenizer), 100)
    return SimpleNamespace(tokenizer=tiny_tokenizer, token_counts=counts)


def test_frequent_types_at_either_end_are_chosen_and_ties_go_to_the_more_frequent():
    rates = np.array([0.5, 0.1, 0.5, 0.2, 0.9, 0.0])
    counts = np.array([300, 200, 400, 900, 5, 0]) * 10
    assert extreme_types(rates, counts, 2) == ([4, 2], [1, 3])
    counts[4] = 1
    assert extreme_types(rates, counts, 2) == ([2, 0], [1, 3])


def test_what_a_run_kept_is_drawn_with_its_types_and_the_rate_of_the_text(data, tmp_path):
    folder = tmp_path / "rates"
    score = Typhoon(data.tokenizer, data.token_counts)
    keep = KeepRates(folder, Masker(score, data.tokenizer, budget="from-scores", rate=0.2))
    state = SimpleNamespace(global_step=0, max_steps=10)
    keep.on_evaluate(None, state, None)
    garden, girl = data.tokenizer.convert_tokens_to_ids(["garden", "girl"])
    score.saliency_V[:], score.num_steps = 1.0, 1
    score.saliency_V[garden], score.saliency_V[girl] = 2.0, 0.01
    score.visited_V[:], score._rates, state.global_step = True, None, 10
    keep.on_evaluate(None, state, None)
    steps, rates_SV = read_rates(folder)
    assert steps == [0, 10]
    assert rates_SV[0, garden] == pytest.approx(0.2)
    assert rates_SV[1, garden] == pytest.approx(2 * rates_SV[1].max(initial=0, where=rates_SV[1] < 0.3))
    for name in ("a.svg", "b.svg"):
        draw_rates(folder, data, tmp_path / name)
    shown = [element.text for element in ElementTree.parse(tmp_path / "a.svg").iter() if element.text]
    assert {"garden", "girl", "masked most, step 10", "masked least, step 10", "all text: 20.0%"} <= set(shown)
    assert shown.index("garden") < shown.index("masked most, step 10") < shown.index("girl")
    assert "[CLS]" not in shown
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
