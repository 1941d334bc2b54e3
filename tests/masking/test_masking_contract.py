"""What holds of every mask, whatever the row, the unit, the pick and the scores.

Shapes: B sequences, T positions.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.pick import STRATEGIES, mean_by_group
from maskwise.masking.rates import one_unit
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.masking.units import Spans, Units

CLS, SEP, PAD = 2, 3, 0
NEVER, ALWAYS = -math.inf, math.inf
SIGMAS = 4
NUM_DRAWS = 3000
fixed = settings(derandomize=True, max_examples=60)
statistical = settings(derandomize=True, max_examples=12)


def groups(batch):
    return batch["groups"]


def atoms_in_groups(batch):
    return Units(batch["word_ids"], batch["groups"])


UNITS = {
    "token": "token",
    "word": "word",
    "span": "span",
    "short spans of tokens": Spans(lengths="uniform", longest=3, atom="token"),
    "long spans with a fate for each word": Spans(p=0.05, longest=30, fate="atom"),
    "groups": groups,
    "words in groups": atoms_in_groups,
}
# Rows of one to three tokens, of one long word, and of both; a group is every third word, so seldom contiguous.
rows = st.lists(st.integers(1, 3), min_size=1, max_size=3) | st.lists(st.integers(1, 14), min_size=1, max_size=8)
batches = st.lists(rows, min_size=1, max_size=4)
rates = st.sampled_from([0.05, 0.15, 0.4, 0.9])
values = st.sampled_from([NEVER, ALWAYS, 0.0, 0.0, 1.0, 1.0, 2.0, -3.0, 1e30])


def batch_of(layouts, scores=None):
    """Rows of words of these lengths between [CLS] and [SEP], padded; `scores` are dealt out in turn."""
    width = max(map(sum, layouts)) + 2
    columns = {"input_ids": PAD, "attention_mask": 0, "word_ids": -1, "groups": -1}
    batch = {name: torch.full((len(layouts), width), fill) for name, fill in columns.items()}
    for row, lengths in enumerate(layouts):
        words = [word for word, length in enumerate(lengths) for _ in range(length)]
        last = len(words) + 1
        batch["input_ids"][row, : last + 1] = torch.tensor([CLS, *(7 + i % 100 for i in range(len(words))), SEP])
        batch["attention_mask"][row, : last + 1] = 1
        batch["word_ids"][row, 1:last] = torch.tensor(words)
        batch["groups"][row, 1:last] = torch.tensor(words) % 3
    batch["example_id"] = torch.arange(len(layouts))
    if scores:
        dealt = torch.tensor(scores).repeat(-(-batch["input_ids"].numel() // len(scores)))
        batch["dealt"] = dealt[: batch["input_ids"].numel()].view(batch["input_ids"].shape)
    return batch


def masker_of(tokenizer, unit, score=uniform, **options):
    columns = ["groups", *(["dealt"] if score is not uniform else [])]
    return Masker(score, tokenizer, unit=UNITS[unit], columns=columns, **options)


def dealt(batch):
    return batch["dealt"]


def members(units, row):
    """The positions of each group of a row."""
    ids = units.groups_BT[row].tolist()
    return [[place for place, other in enumerate(ids) if other == group] for group in sorted(set(ids)) if group >= 0]


@fixed
@given(
    batches,
    st.lists(values, min_size=1, max_size=40),
    rates,
    st.sampled_from(sorted(UNITS)),
    st.sampled_from([*STRATEGIES, "alternating"]),
    st.integers(0, 3),
)
def test_exact_budgets_label_every_row_that_has_a_unit_which_may_be_masked(
    tiny_tokenizer, layouts, scores, rate, unit, strategy, step
):
    masker = masker_of(tiny_tokenizer, unit, dealt, pick=strategy, rate=rate)
    prepared = masker.prepare(batch_of(layouts, scores), TrainState(step, step))
    picked_BT, units = masker.choose(prepared, masker.scores(prepared))
    assert not picked_BT[~prepared["eligible"]].any()
    for row in range(len(layouts)):
        own = [[prepared["dealt"][row, place].item() for place in group] for group in members(units, row)]
        picked = [[picked_BT[row, place].item() for place in group] for group in members(units, row)]
        never = [NEVER in found for found in own]
        always = [ALWAYS in found and NEVER not in found for found in own]
        assert not any(any(taken) for taken, is_never in zip(picked, never, strict=True) if is_never)
        assert any(map(any, picked)) == (not all(never)), "at least one unit, and none if all are never"
        others = [taken for taken, n, a in zip(picked, never, always, strict=True) if not (n or a)]
        if any(map(any, others)):
            assert all(all(taken) for taken, a in zip(picked, always, strict=True) if a), "always comes before others"
    masked = masker(batch_of(layouts, scores), TrainState(step, step))
    assert torch.equal(masked["labels"] != IGNORE, picked_BT)


@fixed
@given(
    batches,
    st.lists(values, min_size=1, max_size=40),
    rates,
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["bernoulli", "from-scores"]),
)
def test_budgets_without_a_floor_mask_never_and_always_so_and_are_never_nan(
    tiny_tokenizer, layouts, scores, rate, unit, budget
):
    masker = masker_of(tiny_tokenizer, unit, dealt, pick="sample", budget=budget, rate=rate)
    for epoch in range(3):
        prepared = masker.prepare(batch_of(layouts, scores), TrainState(epoch))
        picked_BT, units = masker.choose(prepared, masker.scores(prepared))
        for row in range(len(layouts)):
            for group in members(units, row):
                own = [prepared["dealt"][row, place].item() for place in group]
                taken = [picked_BT[row, place].item() for place in group]
                assert len(set(taken)) == 1, "a unit is masked whole or not"
                if NEVER in own:
                    assert not any(taken)
                elif ALWAYS in own:
                    assert all(taken)


@fixed
@given(batches, st.lists(values, min_size=1, max_size=40), st.sampled_from(sorted(UNITS)))
def test_a_units_score_is_the_mean_over_its_tokens_unless_one_is_never_or_always(tiny_tokenizer, layouts, scores, unit):
    masker = masker_of(tiny_tokenizer, unit, dealt)
    prepared = masker.prepare(batch_of(layouts, scores))
    _, units = masker.choose(prepared, masker.scores(prepared))
    means_BT = mean_by_group(masker.scores(prepared), units)
    assert not means_BT.isnan().any()
    for row in range(len(layouts)):
        for group in members(units, row):
            own = [prepared["dealt"][row, place].item() for place in group]
            expected = NEVER if NEVER in own else ALWAYS if ALWAYS in own else sum(own) / len(own)
            for place in group:
                assert means_BT[row, place].item() == pytest.approx(expected, rel=1e-5)


def copies(lengths):
    batch = batch_of([lengths])
    return {key: value.expand(NUM_DRAWS, *value.shape[1:]) for key, value in batch.items()} | {
        "example_id": torch.arange(NUM_DRAWS)
    }


def assert_rate(hits_B, expected):
    """Within four standard errors of a coin, over independent rows and a fixed seed."""
    error = math.sqrt(expected * (1 - expected) / len(hits_B))
    assert abs(hits_B.double().mean().item() - expected) <= SIGMAS * error + 1e-9


@statistical
@given(rows, rates, st.sampled_from(sorted(UNITS)))
def test_every_unit_has_the_rate_under_uniform_scores(tiny_tokenizer, lengths, rate, unit):
    """In rows of U units with r U >= 1; one unit of the row in others, and of token rows a whole number of tokens."""
    batch = copies(lengths)
    masker = masker_of(tiny_tokenizer, unit, rate=rate)
    prepared = masker.prepare(batch)
    picked_BT, units = masker.choose(prepared, masker.scores(prepared))
    if unit == "token":
        num_tokens = sum(lengths)
        expected = max(math.floor(rate * num_tokens + 0.5), 1) / num_tokens
        for place in range(1, num_tokens + 1):
            assert_rate(picked_BT[:, place], expected)
    elif "span" not in unit:
        ids = [units.groups_BT[0].tolist(), units.atoms_BT[0].tolist()]
        num_groups, num_atoms = (len(set(found) - {-1}) for found in ids)
        expected = rate if rate * num_groups >= 1 else max(rate, 1 / num_atoms)
        for place in range(1, sum(lengths) + 1):
            assert_rate(picked_BT[:, place], expected)
    else:
        by_token = unit == "short spans of tokens"
        num_atoms = sum(lengths) if by_token else len(lengths)
        for place in (1, sum(lengths)):
            assert_rate(picked_BT[:, place], max(rate, 1 / num_atoms))
    assert picked_BT.any(-1).all()


@statistical
@given(rows, st.sampled_from(sorted(UNITS)), st.sampled_from(["bernoulli", "from-scores"]))
def test_without_a_floor_every_token_has_the_rate_in_every_row(tiny_tokenizer, lengths, unit, budget):
    chance = lambda batch: torch.full(batch["input_ids"].shape, 0.3)  # noqa: E731
    masker = Masker(chance, tiny_tokenizer, unit=UNITS[unit], columns=["groups"], budget=budget, rate=0.3)
    picked_BT = masker(copies(lengths))["labels"] != IGNORE
    for place in (1, sum(lengths)):
        assert_rate(picked_BT[:, place], 0.3)
    if sum(lengths) == 1:
        assert_rate(~picked_BT.any(-1), 0.7)


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_one_unit_of_a_row_is_one_unit(tiny_tokenizer, unit):
    masker = masker_of(tiny_tokenizer, unit, rate=one_unit())
    prepared = masker.prepare(copies([1, 3, 2, 1, 5, 2]))
    picked_BT, units = masker.choose(prepared, masker.scores(prepared))
    atoms = [len(set(row[taken].tolist())) for row, taken in zip(units.atoms_BT, picked_BT, strict=True)]
    assert set(atoms) == {1}


@pytest.mark.parametrize("unit", sorted(UNITS))
@pytest.mark.parametrize("budget", ["exact", "bernoulli", "from-scores"])
def test_rows_of_special_tokens_alone_have_no_label_and_no_error(tiny_tokenizer, unit, budget):
    masker = masker_of(tiny_tokenizer, unit, budget=budget)
    batch = batch_of([[1], [3]])
    batch["input_ids"][0, 1], batch["word_ids"][0, 1], batch["groups"][0, 1] = SEP, -1, -1
    labels_BT = masker(batch)["labels"]
    assert (labels_BT[0] == IGNORE).all()
    assert (labels_BT[1] != IGNORE).any() or budget != "exact"
