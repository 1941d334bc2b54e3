import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.lab.evaluation.word_formation import evaluate_word_formation, read_word_forms, spearman


def word_file(path, number=30, **changes):
    rng = np.random.default_rng(0)
    rows = [
        {"sentences": f"a noun : {stem}ness\ta noun : {stem}ly", "ratio": float(rng.random())} | changes
        for stem in ("".join(rng.choice(list("abdelmnorst"), 5)) for _ in range(number))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("metric", ["within-word", "original"])
def test_the_score_is_spearmans_correlation_of_softmax_shares(tmp_path, tiny_model, tiny_tokenizer, metric):
    path = word_file(tmp_path / "wug.jsonl")
    counts = np.random.default_rng(1).integers(0, 99, len(tiny_tokenizer))
    result = evaluate_word_formation(
        tiny_model, path, metric=metric, tokenizer=tiny_tokenizer, token_counts=counts, show=False
    )
    shares, ratios = [], []
    for form in read_word_forms(path):
        sums = pseudo_log_likelihood(tiny_model, tiny_tokenizer, form.sentences, metric=metric).sums_S
        shares.append(np.exp(sums[0]) / np.exp(sums).sum())
        ratios.append(form.ratio)
    assert result.items["prob"].tolist() == pytest.approx(shares)
    assert result.correlation.value == pytest.approx(spearmanr(shares, ratios)[0])
    assert result.correlation.low < result.correlation.value < result.correlation.high
    assert result.correlation.error == pytest.approx(1 / np.sqrt(30), rel=0.3)
    assert np.isnan(result.floor) or abs(result.floor) <= 1
    assert "30 items" in repr(result)
    assert json.loads(result.as_json())["value"] == result.correlation.value


def test_spearman_has_ties_at_their_mean_rank_and_no_value_for_a_constant():
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 5, size=(2, 40)).astype(float)
    assert spearman(ours, theirs) == pytest.approx(spearmanr(ours, theirs)[0])
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_people_without_opinions_give_no_correlation(tmp_path, tiny_model, tiny_tokenizer):
    path = word_file(tmp_path / "wug.jsonl", ratio=0.5)
    result = evaluate_word_formation(tiny_model, path, tokenizer=tiny_tokenizer, show=False)
    assert "no correlation" in result.table()
    assert json.loads(result.as_json())["value"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentences": "one sentence"}, "line 1: 'sentences' is not two sentences"),
        ({"sentences": "one\ttwo\tthree"}, "is not two sentences"),
        ({"sentences": None}, "is not two sentences"),
        ({"ratio": 1.5}, "'ratio' is not a share from 0 to 1: 1.5"),
        ({"ratio": "0.5"}, "'ratio' is not a share"),
        ({"ratio": float("nan")}, "'ratio' is not a share"),
        ({"ratio": True}, "'ratio' is not a share"),
    ],
)
def test_lines_that_hold_no_item_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_word_forms(word_file(tmp_path / "wug.jsonl", 2, **changes))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        read_word_forms(word_file(tmp_path / "wug.jsonl", 0))
