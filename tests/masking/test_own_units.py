"""Units of one's own, span settings, and what a Masker makes of them.

Shapes: B sequences, T positions.
"""

import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking import rates
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.masking.units import Spans, Units

CLS, SEP, MASK = 2, 3, 4
BERT = (0.8, 0.1, 0.1)
MENTIONS = [-1, 7, 7, -1, 3, -1, 7, 3, -1, -1]  # of two entities, one token each alone, [CLS] and [SEP]


def copies(num_rows, **columns):
    row = [CLS, *range(20, 20 + len(MENTIONS) - 2), SEP]
    batch = {"input_ids": torch.tensor(row), **{name: torch.tensor(values) for name, values in columns.items()}}
    return {key: value.expand(num_rows, -1) for key, value in batch.items()} | {"example_id": torch.arange(num_rows)}


def mentions(batch):
    return batch["entities"]


def picked(masker, batch):
    return masker(batch)["labels"] != IGNORE


def test_all_mentions_of_an_entity_are_masked_together_wherever_they_are(tiny_tokenizer):
    masker = Masker(uniform, tiny_tokenizer, unit=mentions, columns=["entities"], rate=0.4)
    picked_BT = picked(masker, copies(4000, entities=MENTIONS))
    for places in ([1, 2, 6], [4, 7]):
        assert torch.equal(picked_BT[:, places].any(-1), picked_BT[:, places].all(-1))
    shares = picked_BT.double().mean(0)[1:-1]
    assert (shares - 0.4).abs().max() < 4 * (0.24 / 4000) ** 0.5, "five units, two of them masked, all alike"
    assert not picked_BT[:, [0, -1]].any()


def test_one_unit_a_row_is_one_entity_or_one_token_alone(tiny_tokenizer):
    masker = Masker(uniform, tiny_tokenizer, unit=mentions, columns=["entities"], rate=rates.one_unit())
    picked_BT = picked(masker, copies(2000, entities=MENTIONS))
    found = {tuple(row.nonzero().flatten().tolist()) for row in picked_BT}
    assert found == {(1, 2, 6), (4, 7), (3,), (5,), (8,)}


def test_groups_of_atoms_are_shortened_by_atoms_and_plain_ids_are_not(tiny_tokenizer):
    everything = [-1, *[0] * 8, -1]
    pairs = [-1, 0, 0, 1, 1, 2, 2, 3, 3, -1]

    def whole(batch):
        return batch["all"]

    def of_pairs(batch):
        return Units(batch["pairs"], batch["all"])

    batch = copies(2000, all=everything, pairs=pairs)
    counts = {}
    for unit in (whole, of_pairs):
        masker = Masker(uniform, tiny_tokenizer, unit=unit, columns=["all", "pairs"], rate=0.25)
        counts[unit] = set(picked(masker, batch).sum(-1).tolist())
    assert counts == {whole: {8}, of_pairs: {2}}


def test_long_groups_of_your_own_are_not_split_at_the_cap_for_words(tiny_tokenizer):
    row = {"input_ids": torch.full((50, 40), 20), "example_id": torch.arange(50)}
    masker = Masker(uniform, tiny_tokenizer, unit=lambda batch: batch["input_ids"] * 0, rate=0.15)
    assert picked(masker, row).all()
    words = row | {"word_ids": torch.zeros(50, 40, dtype=torch.int64)}
    assert not picked(Masker(uniform, tiny_tokenizer, unit="word"), words).all(-1).any(), "a cap of 16 pieces"
    assert picked(Masker(uniform, tiny_tokenizer, unit="word", max_word_pieces=None), words).all()
    assert picked(Masker(uniform, tiny_tokenizer, unit="word", max_word_pieces=40), words).all()


def test_a_unit_has_one_fate(tiny_tokenizer):
    masker = Masker(uniform, tiny_tokenizer, unit=mentions, columns=["entities"], rate=0.8, corruption=BERT)
    batch = copies(2000, entities=MENTIONS)
    masked = masker(batch)
    is_mask_BT = masked["input_ids"] == MASK
    both_B = (masked["labels"] != IGNORE)[:, [1, 2, 6]].all(-1)
    assert torch.equal(is_mask_BT[both_B][:, [1, 2, 6]].any(-1), is_mask_BT[both_B][:, [1, 2, 6]].all(-1))
    assert 0.7 < is_mask_BT[both_B][:, 1].double().mean() < 0.9


@pytest.mark.parametrize(("fate", "is_shared"), [("span", True), ("atom", False)])
def test_the_words_of_a_span_share_their_fate_or_not(tiny_tokenizer, fate, is_shared):
    row = {"input_ids": torch.full((400, 60), 20), "word_ids": torch.arange(60).expand(400, -1)}
    batch = row | {"example_id": torch.arange(400)}
    masker = Masker(uniform, tiny_tokenizer, unit=Spans(fate=fate), corruption=(0.5, 0.0, 0.5))
    prepared = masker.prepare(batch)
    picked_BT, units = masker.choose(prepared, uniform(batch))
    is_mask_BT = masker(batch)["input_ids"] == MASK
    first_BT = is_mask_BT.gather(-1, units.groups_BT)
    agree = (is_mask_BT == first_BT)[picked_BT & (units.groups_BT != units.atoms_BT)].double().mean().item()
    assert agree == 1.0 if is_shared else 0.45 < agree < 0.55


def test_spans_of_tokens_need_no_words_and_have_the_lengths_that_were_asked_for(tiny_tokenizer):
    """GPT-BERT's: 1 to 3 tokens."""
    batch = {"input_ids": torch.full((300, 100), 20), "example_id": torch.arange(300)}
    masker = Masker(uniform, tiny_tokenizer, unit=Spans(lengths="uniform", longest=3, atom="token"))
    prepared = masker.prepare(batch)
    picked_BT, units = masker.choose(prepared, uniform(batch))
    sizes = torch.tensor([len(set(places)) for places in _runs(units.groups_BT[:, :90])])
    assert set(sizes.tolist()) == {1, 2, 3}
    assert picked_BT.double().mean().item() == pytest.approx(0.15, abs=0.01)


def _runs(groups_BT):
    for row in groups_BT.tolist():
        for group in sorted(set(row))[:-1]:
            yield [place for place, other in enumerate(row) if other == group]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("words", r"No unit 'words'.*Spans\(\.\.\.\), and functions of your own.*Did you mean 'word'"),
        (Spans, r"Spans is its class: write Spans\(\)"),
        (3, "found 3"),
        (None, "found None"),
        (lambda batch: None, r"Units return a dense tensor.*; The unit '<lambda>' returned nothing \(None\)"),
        (lambda batch: [[0]], "returned a list"),
        (lambda batch: batch["input_ids"][0], r"returned shape \(10,\)"),
        (lambda batch: batch["input_ids"] > 3, "group ids are whole numbers"),
        (lambda batch: batch["input_ids"].float(), "group ids are whole numbers"),
        (lambda batch: batch["input_ids"].to("meta"), "without plain values"),
        (lambda batch: Units(batch["input_ids"], None), r"returned nothing \(None\)"),
    ],
)
def test_a_unit_that_is_none_is_an_error_that_says_what_one_is(tiny_tokenizer, unit, message):
    with pytest.raises(InputError, match=message):
        Masker(uniform, tiny_tokenizer, unit=unit)(copies(2))


@pytest.mark.parametrize("most", [0, -1])
def test_a_cap_below_one_piece_is_an_error(tiny_tokenizer, most):
    with pytest.raises(InputError, match="at least 1, or None"):
        Masker(uniform, tiny_tokenizer, unit="word", max_word_pieces=most)
