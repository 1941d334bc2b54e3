"""The held-out evaluation: what it asks is fixed, and how it grades is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.evaluation.held_out import (
    GRADES,
    NUM_QUINTILES,
    HeldOutResult,
    entropy_quintiles,
    evaluate_mlm,
    evaluate_unigram,
    frequency_quintiles,
    held_out_table,
    make_held_out_eval,
)
from maskwise.masking.corrupt import IGNORE

PAD, UNK, CLS, SEP, MASK = range(5)


@pytest.fixture(scope="module")
def rows(tiny_tokenizer):
    """70 rows of 1 to 40 tokens, frequent ones and rare ones, between [CLS] and [SEP]."""
    generator = np.random.default_rng(0)
    ordinary = np.array([UNK, *range(5, len(tiny_tokenizer))])
    chances = 1 / np.arange(1, len(ordinary) + 1)
    lengths = generator.integers(1, 41, 70)
    texts = [generator.choice(ordinary, length, p=chances / chances.sum()) for length in lengths]
    return [{"input_ids": [CLS, *text.tolist(), SEP]} for text in texts]


@pytest.fixture
def held_out(rows, tiny_tokenizer):
    return make_held_out_eval(rows, tiny_tokenizer)


def questions(held_out, **how):
    """Returns the masked positions, what the model sees and the answers, as lists, one text after another."""
    found = []
    for batch in held_out.batches(**how):
        lengths = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum(dim=-1).tolist()
        for seen_T, labels_T, length in zip(batch["input_ids"], batch["labels"], lengths, strict=True):
            found.append((seen_T[:length].tolist(), labels_T[:length].tolist()))
    return found


def positions(question):
    return [i for i, label in enumerate(question[1]) if label != IGNORE]


# What is asked.


def test_every_call_asks_the_same_in_batches_of_any_size(held_out, rows, tiny_tokenizer):
    first = questions(held_out)
    assert len(first) == 70
    assert questions(held_out) == first
    assert questions(held_out, batch_size=7) == first
    assert questions(make_held_out_eval(rows, tiny_tokenizer)) == first


def test_what_is_asked_of_a_text_depends_on_its_number_alone(held_out, rows, tiny_tokenizer):
    """A larger evaluation, or another training text, must not change the questions that both share."""
    fewer = make_held_out_eval(rows, tiny_tokenizer, np.ones(len(tiny_tokenizer)), blocks=10)
    assert fewer.indices == [0, 8, 15, 23, 31, 38, 46, 54, 61, 69]
    everything = questions(held_out)
    assert questions(fewer) == [everything[i] for i in fewer.indices]


def test_the_questions_are_those_of_every_machine_and_release(tiny_tokenizer):
    """Another release that draws other masks would silently make grades of different runs incomparable."""
    text = {"input_ids": [CLS, *range(10, 50), SEP]}
    found = questions(make_held_out_eval([text] * 3, tiny_tokenizer))
    assert [positions(question) for question in found] == [
        [3, 8, 26, 28, 31, 37],
        [14, 15, 21, 22, 23, 39],
        [3, 17, 20, 24, 25, 26],
    ]


def test_exactly_fifteen_percent_of_each_text_is_asked_all_of_it_masked(held_out, rows):
    for (seen, labels), row in zip(questions(held_out), rows, strict=True):
        n = len(row["input_ids"]) - 2
        asked = positions((seen, labels))
        assert len(asked) == max(1, math.floor(0.15 * n + 0.5))
        assert not {0, n + 1} & set(asked), "[CLS] and [SEP] are no questions"
        for i, token in enumerate(row["input_ids"]):
            assert (seen[i], labels[i]) == ((MASK, token) if i in asked else (token, IGNORE))


def test_the_ranks_shares_are_the_whole_exam(held_out):
    whole = questions(held_out, batch_size=8)
    shares = [questions(held_out, batch_size=8, share=(rank, 3)) for rank in range(3)]
    assert sum(map(len, shares)) == len(whole) == 70
    assert sorted(question for share in shares for question in share) == sorted(whole)
    assert all(shares)


def test_no_held_out_text_is_an_error_that_says_how_to_get_some(tiny_tokenizer):
    with pytest.raises(InputError, match=r"no held-out text.*--valid-share"):
        make_held_out_eval([], tiny_tokenizer)


# How it is graded.


def dense_grades(model, held_out):
    """Loss, top-1 and top-5 of every question by the dense float64 model, with the answer's quintile."""
    model = model.double().eval()
    graded = []
    for seen, labels in questions(held_out):
        with torch.no_grad():
            logits_TV = model(input_ids=torch.tensor([seen])).logits[0]
        for position in positions((seen, labels)):
            log_p_V, answer = logits_TV[position].log_softmax(-1), labels[position]
            better = int((log_p_V > log_p_V[answer]).sum())
            graded.append((int(held_out.quintile_V[answer]), -log_p_V[answer].item(), better < 1, better < 5))
    return graded


def assert_grades(result, graded):
    """Compares every figure with (quintile, loss, top-1, top-5) of each question."""
    assert result.num_tokens == len(graded)
    for quintile in (None, *range(NUM_QUINTILES)):
        chosen = [grades for q, *grades in graded if quintile in (None, q)]
        assert chosen, "a quintile without a question proves nothing"
        for name, values in zip(GRADES, zip(*chosen, strict=True), strict=True):
            assert result.grade(name, quintile) == pytest.approx(sum(values) / len(values), rel=1e-5), (name, quintile)
    mean_loss = sum(loss for _, loss, *_ in graded) / len(graded)
    assert result.perplexity == pytest.approx(math.exp(mean_loss), rel=1e-4)


@pytest.fixture
def sure_model(tiny_model):
    """A model that prefers frequent tokens, others at other places, so that some questions are answered right."""
    with torch.no_grad():
        tiny_model.get_input_embeddings().weight.mul_(5)
        tiny_model.get_output_embeddings().bias.copy_(torch.linspace(6, 0, tiny_model.config.vocab_size))
    return tiny_model


def test_a_model_is_graded_as_by_dense_float64_arithmetic(sure_model, held_out):
    result = evaluate_mlm(sure_model, held_out)
    assert 0 < result.grade("top1") < result.grade("top5") < 1
    assert_grades(result, dense_grades(sure_model, held_out))


def test_grading_drops_nothing_out_and_leaves_the_model_as_it_was(sure_model, held_out):
    """Grades taken in training mode are of a thinned-out model, a little worse every time."""
    expected = evaluate_mlm(sure_model, held_out).sums
    for module in sure_model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    sure_model.train()
    assert torch.equal(evaluate_mlm(sure_model, held_out).sums, expected)
    assert sure_model.training and all(module.training for module in sure_model.modules())
    assert all(parameter.grad is None for parameter in sure_model.parameters())


def test_the_grades_of_all_ranks_add_up_to_those_of_one(sure_model, rows, tiny_tokenizer):
    held_out = make_held_out_eval(rows * 3, tiny_tokenizer)
    shares = [evaluate_mlm(sure_model, held_out, share=(rank, 3)).sums for rank in range(3)]
    assert all(sums[:, 0].sum() > 50 for sums in shares)
    torch.testing.assert_close(sum(shares), evaluate_mlm(sure_model, held_out).sums, rtol=1e-6, atol=0)


def test_the_floor_knows_nothing_but_the_counts_of_the_training_text(rows, tiny_tokenizer):
    generator = np.random.default_rng(1)
    counts = generator.zipf(1.3, len(tiny_tokenizer)).clip(0, 5000) - 1  # special tokens have counts too, to be ignored
    held_out = make_held_out_eval(rows, tiny_tokenizer, counts)
    maskable = [UNK, *range(5, len(tiny_tokenizer))]
    total = sum(int(counts[i]) + 1 for i in maskable)
    graded = []
    for question in questions(held_out):
        for answer in (question[1][i] for i in positions(question)):
            better = sum(counts[i] > counts[answer] for i in maskable)
            loss = -math.log((int(counts[answer]) + 1) / total)
            graded.append((int(held_out.quintile_V[answer]), loss, better < 1, better < 5))
    assert_grades(evaluate_unigram(held_out), graded)


def test_without_counts_the_floor_takes_those_of_the_exam_itself(rows, tiny_tokenizer):
    narrow = [{"input_ids": np.array(row["input_ids"], dtype=np.uint16)} for row in rows]
    tokens = [token for row in rows for token in row["input_ids"] if token not in (CLS, SEP)]
    for held_out in (make_held_out_eval(rows, tiny_tokenizer), make_held_out_eval(narrow, tiny_tokenizer)):
        assert held_out.counts_V.tolist() == [tokens.count(i) for i in range(len(tiny_tokenizer))]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_quintile_begins_where_a_fifth_of_the_tokens_is_more_frequent(counts):
    quintiles = frequency_quintiles(torch.tensor(counts)).tolist()
    before, total = 0, max(sum(counts), 1)
    for i in sorted(range(len(counts)), key=lambda i: -counts[i]):
        assert quintiles[i] == min(5 * before // total, 4)
        before += counts[i]


# What is shown.


def test_the_table_has_a_row_a_model_with_every_figure():
    sums = torch.tensor([[10, 20.0, 5, 9]] * NUM_QUINTILES, dtype=torch.float64)
    header, row = held_out_table({"mine": HeldOutResult(sums)}).splitlines()
    assert header.split("  ")[0] == "model"
    assert row.split() == ["mine", "2.0000", "7.4", "50.00%", "90.00%", *["2.000"] * NUM_QUINTILES]
    assert len(header) == len(row)
    figures = HeldOutResult(sums).as_dict()
    assert (figures["tokens"], figures["loss"], figures["top5_q3"]) == (50, 2.0, 0.9)
    assert len(figures) == 2 + len(GRADES) * (1 + NUM_QUINTILES)


def test_entropy_quintiles_are_fifths_of_the_graded_tokens_by_the_teacher_s_entropy_of_the_unmasked_text(
    held_out, tiny_model
):
    teacher, entropies, quintiles = tiny_model.eval(), [], entropy_quintiles(tiny_model, held_out)
    for batch in held_out.batches():
        asked_BT = batch["labels"] != IGNORE
        text_BT = torch.where(asked_BT, batch["labels"], batch["input_ids"])
        with torch.no_grad():
            logits_RV = teacher(text_BT, attention_mask=batch.get("attention_mask")).logits[asked_BT].double()
        entropies.append(torch.distributions.Categorical(logits=logits_RV).entropy())
    assert [len(part) for part in quintiles] == [len(part) for part in entropies]
    entropy_R, quintile_R = torch.cat(entropies), torch.cat(quintiles)
    sizes = torch.bincount(quintile_R, minlength=NUM_QUINTILES)
    assert sizes.max() - sizes.min() <= 1
    for lower in range(NUM_QUINTILES - 1):
        assert entropy_R[quintile_R == lower].max() <= entropy_R[quintile_R == lower + 1].min() + 1e-5


def test_grades_by_other_quintiles_add_up_to_the_same_whole(held_out, tiny_model):
    by_frequency = evaluate_mlm(tiny_model, held_out)
    by_entropy = evaluate_mlm(tiny_model, held_out, quintiles=entropy_quintiles(tiny_model, held_out))
    assert by_entropy.grade("loss") == pytest.approx(by_frequency.grade("loss"), abs=1e-6)
    assert by_entropy.grade("loss", 0) != pytest.approx(by_frequency.grade("loss", 0), abs=1e-3)
