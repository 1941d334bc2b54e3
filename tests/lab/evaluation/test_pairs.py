"""`evaluate_pairs` on small sets: what it counts, next to its floor; and the reference numbers on real data."""

import json
import lzma

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from maskwise.errors import InputError
from maskwise.evaluation.choices import are_reordered
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.evaluation.sentences import encode_sentences
from maskwise.evaluation.unigram import score_by_counts, unigram_log_probabilities
from maskwise.lab.evaluation.intervals import macro_average
from maskwise.lab.evaluation.item_files import ItemSet, read_item_sets
from maskwise.lab.evaluation.pair_results import pairs_table, summarize
from maskwise.lab.evaluation.pairs import count_items, evaluate_pairs, score_items
from maskwise.lab.evaluation.scored_model import ScoredModel
from maskwise.lab.tokens.tokenizer import open_tokenizer

PAIRS = {
    "agreement": [("the cats are old", "the cats is old"), ("a tree is green", "a trees is green")],
    "order": [("the old cat was in the garden", "the cat old was in the garden"), ("he walks", "walks he")],
    "unknown": [("the 猫 was old", "the 犬 was old")],
}


@pytest.fixture
def folder(tmp_path):
    for uid, pairs in PAIRS.items():
        rows = [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs]
        (tmp_path / f"{uid}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


@pytest.fixture
def counts(tiny_tokenizer):
    return np.random.default_rng(0).integers(0, 1000, size=len(tiny_tokenizer))


@pytest.fixture
def evaluated(folder, tiny_model, tiny_tokenizer, counts):
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter *= 8  # predictions that depend on the context by nats

    def run(**options):
        return evaluate_pairs(
            tiny_model, [folder], tokenizer=tiny_tokenizer, token_counts=counts, show=False, **options
        )

    return run


def test_accuracy_is_the_mean_over_paradigms_of_what_plain_comparisons_give(evaluated, tiny_model, tiny_tokenizer):
    (made,) = evaluated().sets
    expected = {}
    for uid, pairs in PAIRS.items():
        sums = [pseudo_log_likelihood(tiny_model, tiny_tokenizer, pair).sums_S for pair in pairs]
        expected[uid] = np.mean([0.5 if abs(good - bad) <= 1e-4 else float(good > bad) for good, bad in sums])
    assert {p.uid: p.accuracy for p in made.paradigms} == expected
    assert made.accuracy == pytest.approx(np.mean(list(expected.values())))
    assert (made.items, made.identical, made.reordered, made.tied) == (5, 1, 2, 1)
    assert made.same_tokens == 3 / 5


def test_the_floor_counts_the_same_items_by_the_same_rule(evaluated, tiny_tokenizer, counts):
    (made,) = evaluated().sets
    log_p_V, expected = unigram_log_probabilities(counts, tiny_tokenizer), {}
    for uid, pairs in PAIRS.items():
        sums = [score_by_counts(encode_sentences(tiny_tokenizer, pair), log_p_V).sums_S for pair in pairs]
        expected[uid] = np.mean([0.5 if abs(good - bad) <= 1e-4 else float(good > bad) for good, bad in sums])
    assert {p.uid: p.floor for p in made.paradigms} == expected
    assert made.reordered_floor == 0.5


def test_ties_to_the_first_add_half_of_what_is_tied(evaluated):
    (fair,), (first,) = evaluated().sets, evaluated(ties="first").sets
    assert first.accuracy - fair.accuracy == pytest.approx(0.5 / 3), "one item of the paradigm of unknown words"
    assert first.floor - fair.floor == pytest.approx((0.5 + 0.5) / 3), "and all of those in another order"


def test_metrics_give_other_scores(evaluated):
    within, original = evaluated().items, evaluated(metric="original").items
    differences = [np.abs(a - b).max() for a, b in zip(within["sums"], original["sums"], strict=True)]
    assert max(differences) > 0.01


def test_without_counts_there_is_no_floor_and_a_note_names_the_way(folder, tiny_model, tiny_tokenizer):
    result = evaluate_pairs(tiny_model, [folder], tokenizer=tiny_tokenizer, show=False)
    assert np.isnan(result.sets[0].floor)
    assert "name its data folder" in result.notes[-1]
    assert json.loads(result.as_json())["sets"][folder.name]["floor"] is None


def test_a_run_folder_knows_its_floor(folder, tiny_data, pretrain_command, run_here, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    run_here([*pretrain_command, "--out", str(out), "--set", "trainer.max_steps=2"])
    by_itself = evaluate_pairs(str(out), [folder], show=False)
    by_name = evaluate_pairs(out, [folder], token_counts=tiny_data, show=False)
    assert by_itself.sets[0].floor == by_name.sets[0].floor > 0
    assert by_itself.sets == by_name.sets
    assert str(tiny_data) in by_itself.notes[-1]


def test_counts_of_another_vocabulary_are_refused(folder, tiny_model, tiny_tokenizer, tiny_data):
    with pytest.raises(InputError, match="different vocabularies"):
        evaluate_pairs(tiny_model, [folder], tokenizer=tiny_tokenizer, token_counts=tiny_data, show=False)


def test_one_folder_needs_no_list(folder, tiny_model, tiny_tokenizer):
    both = [evaluate_pairs(tiny_model, f, tokenizer=tiny_tokenizer, show=False).sets for f in (str(folder), [folder])]
    assert both[0][0].accuracy == both[1][0].accuracy


def test_a_model_object_needs_its_tokenizer(folder, tiny_model):
    with pytest.raises(InputError, match="give tokenizer="):
        evaluate_pairs(tiny_model, [folder], show=False)


def test_a_sentence_that_does_not_fit_names_its_folder(tmp_path, tiny_model, tiny_tokenizer):
    row = {"sentence_good": "tree " * 70, "sentence_bad": "tree " * 71}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"{tmp_path.name}: 2 of 2 texts are longer than the model's 64 .* has 73 tokens"
    ):
        evaluate_pairs(tiny_model, [tmp_path], tokenizer=tiny_tokenizer, show=False)


def test_the_predictions_that_are_kept_give_the_result_again(evaluated, tmp_path):
    result = evaluated()
    written = result.write(tmp_path / "out")
    kept = pd.read_parquet(written / "predictions.parquet")
    assert list(kept["set"].unique()) == [result.sets[0].name]
    assert summarize(kept) == list(result.sets)
    chosen = [int(np.argmax(sums)) for sums in kept["sums"]]
    assert [c for c, tie in zip(chosen, kept["tie"], strict=True) if not tie] == kept["chosen"][~kept["tie"]].tolist()
    with pytest.raises(InputError, match="not empty"):
        result.write(tmp_path / "out")


def test_tables_have_a_row_per_model_and_set_and_say_what_few_items_are_worth(evaluated):
    result = evaluated()
    assert "5 items (standard error" in result.table()
    assert "not a result alone" in repr(result)
    assert len(pairs_table([result, result]).splitlines()) == 3
    assert len(result.paradigm_table().splitlines()) == 1 + len(PAIRS)
    assert result._repr_html_().startswith("<pre>")


def test_items_of_several_options_have_their_own_chance(tmp_path, tiny_model, tiny_tokenizer, counts):
    rows = [
        {"input_prefix": "he was in ", "options": ["the garden", "a tree", "the street"], "numops": 0},
        {
            "input_prefix": "he was in ",
            "options": ["the sea", "a river", "the city", "a street", "a book"],
            "numops": 1,
        },
    ]
    (tmp_path / "regular.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = evaluate_pairs(tiny_model, [tmp_path], tokenizer=tiny_tokenizer, token_counts=counts, show=False)
    (made,) = result.sets
    assert made.chance == pytest.approx((1 / 3 + 1 / 5) / 2)
    assert [len(sums) for sums in result.items["sums"]] == [3, 5]
    assert [tokens.tolist() for tokens in result.items["tokens"]] == [[2, 2, 2], [2, 2, 2, 2, 2]]


def test_the_interval_is_that_of_draws_within_paradigms():
    """Against the standard error by formula: sqrt(sum of p (1 - p) / n) / number of paradigms."""
    rng = np.random.default_rng(0)
    credits = [(rng.random(400) < p).astype(float) for p in (0.2, 0.5, 0.9)]
    interval = macro_average(credits)
    expected = np.sqrt(sum(c.var() / len(c) for c in credits)) / 3
    assert interval.error == pytest.approx(expected, rel=0.05)
    assert interval.low == pytest.approx(interval.value - 1.96 * expected, abs=0.004)
    assert interval.high == pytest.approx(interval.value + 1.96 * expected, abs=0.004)


def test_the_interval_does_not_draw_paradigms():
    """Two paradigms of certain answers leave nothing to draw, however far apart they are."""
    interval = macro_average([np.ones(50), np.zeros(50)])
    assert (interval.value, interval.low, interval.high, interval.error) == (0.5, 0.5, 0.5, 0)


class Nothing(torch.nn.Module):
    """Stands in for a model whose scores nobody asks for."""


@pytest.fixture(scope="module")
def reference(data_root):
    """BERT's vocabulary, counted on long articles of English Wikipedia."""
    tokenizer = open_tokenizer(str(data_root / "vocab" / "bert-base-uncased-vocab.txt"))
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    with lzma.open(data_root / "wiki_en" / "train.txt.xz", "rt", encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(65_000), strict=False)]
    for encoding in tokenizer.backend_tokenizer.encode_batch(lines, add_special_tokens=False):
        np.add.at(counts, np.array(encoding.ids, dtype=np.int64), 1)
    return tokenizer, counts


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "items", "fair", "to_first", "same", "identical"),
    [("blimp", 67_000, 56.27, 65.35, 18.15, 7), ("zorro", 46_000, 56.85, 69.43, 25.17, 0)],
)
def test_floors_of_blimp_and_zorro(data_root, reference, monkeypatch, name, items, fair, to_first, same, identical):
    """The counts are of another text than the reference's, which moves a floor by less than a point."""
    tokenizer, counts = reference
    log_p_V = unigram_log_probabilities(counts, tokenizer)

    def by_counts(model, tokenizer, sentences, **options):
        return score_by_counts(sentences, log_p_V)

    monkeypatch.setattr("maskwise.lab.evaluation.pairs.score_sentences", by_counts)
    (item_set,) = read_item_sets([data_root / "zero_shot" / name]).sets
    opened = ScoredModel("counts", Nothing(), tokenizer, log_p_V, "")
    scored = score_items(opened, item_set, metric="within-word", show=False)
    ((made,), (first,)) = (summarize(count_items(scored, ties)) for ties in ("half", "first"))
    assert (made.items, made.identical) == (items, identical)
    assert 100 * made.same_tokens == pytest.approx(same, abs=0.01)
    assert 100 * made.floor == pytest.approx(fair, abs=1)
    assert 100 * first.floor == pytest.approx(to_first, abs=1)
    assert 100 * (first.floor - made.floor) == pytest.approx(same / 2, abs=0.2)
    assert made.reordered_floor == 0.5
    assert made.accuracy == made.floor
    assert 0.1 < 100 * made.error < 0.25


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["blimp", "zorro"])
def test_a_model_of_counts_gets_half_of_every_reordered_pair(data_root, reference, name):
    """A third of the pairs of BLiMP and Zorro that differ in their order alone, and some that do not."""
    tokenizer, counts = reference
    log_p_V = unigram_log_probabilities(counts, tokenizer)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cls.predictions.decoder.bias.copy_(torch.from_numpy(np.log(counts + 1.0)))
    (item_set,) = read_item_sets([data_root / "zero_shot" / name]).sets
    kept = {uid: [*items[:20], *reordered(tokenizer, items[20::3])] for uid, items in item_set.paradigms.items()}
    some = ItemSet(item_set.name, item_set.path, item_set.layout, kept)
    opened = ScoredModel("counts", model, tokenizer, log_p_V, "")
    frame = count_items(score_items(opened, some, metric="original", show=False), "half")
    assert frame["reordered"].sum() > 3_500
    assert (frame["credit"][frame["reordered"]] == 0.5).all()
    assert (frame["credit"] == frame["floor"]).all()
    assert set(frame["credit"]) == {0, 0.5, 1}


def reordered(tokenizer, items):
    options = encode_sentences(tokenizer, [text for item in items for text in item.texts])
    return [
        item
        for item, pair in zip(items, zip(options[::2], options[1::2], strict=True), strict=True)
        if are_reordered(pair)
    ]
