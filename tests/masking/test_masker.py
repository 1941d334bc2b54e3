"""The masking contract: what may be masked, how much of it, and that nothing but the example decides.

Shapes: B sequences, T positions, N picked tokens.
"""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from maskwise.errors import InputError
from maskwise.masking import noise, rates
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import UNITS, Masker
from maskwise.masking.pick import STRATEGIES
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.masking.vocabulary import Vocabulary
from maskwise.testing import SIDES, make_batch

PAD, UNK, CLS, SEP, MASK = range(5)  # of tiny_tokenizer
ORDINARY = range(5, 60)
PICKS = (*STRATEGIES, "alternating")
BERT = (0.8, 0.1, 0.1)
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])


def by_token(batch):
    """A score with many ties that looks at nothing but the token."""
    return (batch["input_ids"] * 37 % 11).float()


@st.composite
def texts(draw, max_rows=4):
    """Rows of tokens, special ones among them, and their word ids: words of 1 to 4 pieces, -1 at special tokens."""
    rows, word_ids = [], []
    for _ in range(draw(st.integers(1, max_rows))):
        row, words = [], []
        for word, size in enumerate(draw(st.lists(st.integers(0, 4), min_size=1, max_size=14))):
            token = st.sampled_from([UNK, *ORDINARY]) if size else st.sampled_from([PAD, CLS, SEP, MASK])
            row += [draw(token) for _ in range(max(size, 1))]
            words += [word] * size if size else [-1]
        rows.append(row)
        word_ids.append(words)
    return rows, word_ids


common = {"unit": st.sampled_from(UNITS), "rate": st.floats(0.05, 0.95), "seed": st.integers(-5, 2**40)}
ways = st.one_of(
    st.fixed_dictionaries(common | {"pick": st.sampled_from(PICKS)}),
    st.fixed_dictionaries(common | {"budget": st.sampled_from(["bernoulli", "from-scores"])}),
)
corruptions = st.sampled_from([(1, 0, 0), BERT, (0, 1, 0), (0, 0, 1)])


def blocks(num_rows, num_tokens=126, seed=0):
    """Full blocks as in pretraining: [CLS], words of two pieces, [SEP]."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(ORDINARY[0], ORDINARY[-1] + 1, (num_rows, num_tokens), generator=generator)
    ends_B1 = [torch.full((num_rows, 1), token) for token in (CLS, SEP)]
    words_T = torch.tensor([-1, *(position // 2 for position in range(num_tokens)), -1])
    return {
        "input_ids": torch.cat([ends_B1[0], ids_BT, ends_B1[1]], dim=1),
        "word_ids": words_T.expand(num_rows, -1),
        "example_id": torch.arange(num_rows),
    }


def picks(masker, batch, epoch=0):
    return masker(batch, TrainState(epoch))["labels"] != IGNORE


def text_masks(picked_BT, batch):
    """Each row's mask over its text, without its padding."""
    return [row[mask.bool()].tolist() for row, mask in zip(picked_BT, batch["attention_mask"], strict=True)]


def words_by_row(rows, word_ids):
    """The positions of each word, row by row."""
    return [[[i for i, w in enumerate(words) if w == word] for word in sorted({*words} - {-1})] for words in word_ids]


def chi_square(observed, shares) -> float:
    observed, shares = torch.as_tensor(observed).double(), torch.as_tensor(shares).double()
    return ((observed - observed.sum() * shares) ** 2 / (observed.sum() * shares)).sum().item()


# What may be masked, and how much.


@unhurried
@given(texts(), ways, corruptions, st.sampled_from(SIDES), st.integers(0, 3))
def test_labels_lie_on_maskable_tokens_and_everything_else_stays(tiny_tokenizer, text, way, corruption, side, epoch):
    rows, word_ids = text
    batch = make_batch(tiny_tokenizer, rows, word_ids, side=side, num_extra=1)
    before = {key: value.clone() for key, value in batch.items()}
    masked = Masker(by_token, tiny_tokenizer, corruption=corruption, **way)(batch, TrainState(epoch))
    picked_BT = masked["labels"] != IGNORE
    assert set(masked) == {"input_ids", "attention_mask", "labels"}
    assert all(torch.equal(batch[key], before[key]) for key in before), "the caller's batch was edited"
    assert torch.equal(masked["labels"][picked_BT], batch["input_ids"][picked_BT])
    assert torch.equal(masked["input_ids"][~picked_BT], batch["input_ids"][~picked_BT])
    assert not picked_BT[torch.isin(batch["input_ids"], torch.tensor([PAD, CLS, SEP, MASK]))].any()
    assert not picked_BT[batch["attention_mask"] == 0].any()
    replaced_N = masked["input_ids"][picked_BT & (masked["input_ids"] != batch["input_ids"])]
    assert not torch.isin(replaced_N, torch.tensor([PAD, UNK, CLS, SEP])).any()


@unhurried
@given(texts(), st.sampled_from(PICKS), st.floats(0.05, 0.95))
def test_token_masking_spends_the_budget_exactly_in_every_row(tiny_tokenizer, text, pick, rate):
    batch = make_batch(tiny_tokenizer, *text)
    num_masked = picks(Masker(by_token, tiny_tokenizer, pick=pick, rate=rate), batch).sum(dim=-1).tolist()
    for row, found in zip(text[0], num_masked, strict=True):
        n = sum(token not in (PAD, CLS, SEP, MASK) for token in row)
        assert found == (min(n, max(1, math.floor(rate * n + 0.5))) if n else 0)


@unhurried
@given(texts(), st.sampled_from(["word", "span"]), st.sampled_from(PICKS), st.floats(0.05, 0.95))
def test_no_word_is_split_and_the_budget_is_met_to_within_one_word(tiny_tokenizer, text, unit, pick, rate):
    rows, word_ids = text
    batch = make_batch(tiny_tokenizer, rows, word_ids)
    masks = text_masks(picks(Masker(by_token, tiny_tokenizer, unit=unit, pick=pick, rate=rate), batch), batch)
    scores = text_masks(by_token(batch), batch)
    for words, mask, row_scores in zip(words_by_row(rows, word_ids), masks, scores, strict=True):
        assert all(len({mask[position] for position in word}) == 1 for word in words)
        n = sum(map(len, words))
        assert any(mask) == (n > 0), "a row with a word is never left without a label"
        if len({row_scores[position] for word in words for position in word}) > 1:
            budget = min(n, max(1, rate * n))
            num_ends = 2 if pick == "marginal" else 1  # the budget is spent from both ends, each to within a word
            assert abs(sum(mask) - budget) < num_ends * max(map(len, words))
        elif unit == "word" and words:
            budget = max(1, rate * len(words))
            assert abs(sum(mask[word[0]] for word in words) - budget) < 1


def test_unknown_words_are_masked_like_any_other_text(tiny_tokenizer):
    batch = make_batch(tiny_tokenizer, [[CLS, UNK, UNK, SEP]])
    assert picks(Masker(uniform, tiny_tokenizer, rate=0.9), batch).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("role", ["pad_token", "cls_token", "sep_token", "bos_token", "eos_token"])
def test_an_unknown_token_that_has_another_role_too_is_never_masked(role):
    """GPT-2's way, one token for all: padding or [CLS] would be masked, and learned, as if it were text."""
    words = models.WordLevel({"<s>": 0, "<mask>": 1, "a": 2, "b": 3}, unk_token="<s>")
    names = {"unk_token": "<s>", "mask_token": "<mask>", role: "<s>"}
    shared = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), **names)
    assert Vocabulary.of(shared).eligible_V.tolist() == [False, False, True, True]
    del names[role]
    alone = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), **names)
    assert Vocabulary.of(alone).eligible_V.tolist() == [True, False, True, True]


def test_the_rate_follows_its_schedule_over_the_progress_of_the_run(tiny_tokenizer):
    masker, batch = Masker(uniform, tiny_tokenizer, rate=rates.linear(0.3, 0.1)), blocks(3, num_tokens=100)
    found = [
        (masker(batch, TrainState(0, 0, progress))["labels"] != IGNORE).sum(dim=-1).tolist() for progress in (0, 0.5, 1)
    ]
    assert found == [[30] * 3, [20] * 3, [10] * 3]
    one = Masker(uniform, tiny_tokenizer, rate=rates.one_token())
    assert picks(one, batch).sum(dim=-1).tolist() == [1, 1, 1]


# Nothing but seed, epoch and example decides.


@unhurried
@given(texts(), ways, corruptions, st.data())
def test_a_text_gets_the_same_mask_in_any_batch_with_any_padding(tiny_tokenizer, text, way, corruption, data):
    """Were it not so, the batch size, the number of workers or a restart would change the masks unseen."""
    rows, word_ids = text
    masker = Masker(by_token, tiny_tokenizer, corruption=corruption, **way)
    with_ids = data.draw(st.booleans(), label="with example ids")

    def masked(indices, side, num_extra):
        batch = make_batch(
            tiny_tokenizer,
            [rows[i] for i in indices],
            [word_ids[i] for i in indices],
            side=side,
            num_extra=num_extra,
            example_ids=[100 + i for i in indices],
        )
        if not with_ids:
            del batch["example_id"]
        out = masker(batch, TrainState(2, 5))
        texts = zip(text_masks(out["labels"], batch), text_masks(out["input_ids"], batch), strict=True)
        return dict(zip(indices, texts, strict=True))

    alone = {i: masked([i], "right", 0)[i] for i in range(len(rows))}
    order = data.draw(st.permutations(range(len(rows))), label="order")
    assert masked(order, data.draw(st.sampled_from(SIDES), label="side"), data.draw(st.integers(0, 3))) == alone


@pytest.mark.parametrize("way", [{}, {"unit": "word"}, {"unit": "span"}, {"budget": "bernoulli"}])
def test_padding_on_the_left_moves_no_mask(tiny_tokenizer, way):
    batch, masker = blocks(20), Masker(uniform, tiny_tokenizer, corruption=BERT, **way)
    rows, word_ids = batch["input_ids"].tolist(), batch["word_ids"].tolist()
    padded = make_batch(tiny_tokenizer, rows, word_ids, side="left", num_extra=5)
    expected = masker(batch, TrainState(1))
    for key, found_BT in masker(padded, TrainState(1)).items():
        if key != "attention_mask":
            assert torch.equal(found_BT[:, 5:], expected[key])


def test_what_the_attention_mask_hides_is_never_masked(tiny_tokenizer):
    """Packed rows may hide ordinary tokens, not [PAD] alone."""
    batch = blocks(20) | {"attention_mask": torch.ones(20, 128, dtype=torch.int64)}
    batch["attention_mask"][:, 50:] = 0
    picked_BT = picks(Masker(uniform, tiny_tokenizer, rate=0.9), batch)
    assert picked_BT.sum(dim=-1).tolist() == [44] * 20
    assert not picked_BT[:, 50:].any()


@pytest.mark.parametrize("way", [{}, {"unit": "word"}, {"unit": "span"}, {"budget": "bernoulli"}])
def test_masks_differ_between_epochs_seeds_and_examples(tiny_tokenizer, way):
    batch = blocks(20)
    same_text = {key: value[:1].expand(20, -1) for key, value in batch.items() if key != "example_id"}
    first_BT = picks(Masker(uniform, tiny_tokenizer, **way), batch)
    others = {
        "epoch": picks(Masker(uniform, tiny_tokenizer, **way), batch, epoch=1),
        "seed": picks(Masker(uniform, tiny_tokenizer, seed=1, **way), batch),
    }
    for what, other_BT in others.items():
        assert (first_BT != other_BT).any(dim=-1).all(), what
        shared = (first_BT & other_BT).sum() / first_BT.sum()
        assert abs(shared - 0.15) < 0.1, f"{what}: masks overlap by {shared:.2f} where chance gives 0.15"
    by_example_BT = picks(Masker(uniform, tiny_tokenizer, **way), same_text | {"example_id": batch["example_id"]})
    assert len(by_example_BT.unique(dim=0)) == 20
    assert len(picks(Masker(uniform, tiny_tokenizer, **way), same_text).unique(dim=0)) == 1, "told apart by content"


def test_over_many_epochs_every_position_of_a_text_is_masked_equally_often(tiny_tokenizer):
    masker, batch, num_epochs = Masker(uniform, tiny_tokenizer), blocks(1, num_tokens=20), 2000
    counts = sum(picks(masker, batch, epoch).int() for epoch in range(num_epochs))[0, 1:-1]
    assert counts.sum() == 3 * num_epochs
    assert chi_square(counts, torch.full((20,), 1 / 20)) < 19 + 5 * 38**0.5


def test_the_alternating_coin_is_one_per_step_and_the_same_for_all_rows(tiny_tokenizer):
    batch = blocks(8)
    alternating = Masker(by_token, tiny_tokenizer, pick="alternating", seed=3)
    ends = {pick: picks(Masker(by_token, tiny_tokenizer, pick=pick, seed=3), batch) for pick in ("high", "low")}
    sides = []
    for step in range(40):
        picked_BT = alternating(batch, TrainState(0, step))["labels"] != IGNORE
        side = "high" if noise.coin(3, step) else "low"
        assert torch.equal(picked_BT, ends[side])
        assert torch.equal(alternating(batch, TrainState(0, step))["labels"] != IGNORE, picked_BT)
        sides.append(side)
    assert 10 < sides.count("high") < 30


# Shares and rates in distribution.


def test_bernoulli_masking_meets_its_rate_and_spreads_as_a_binomial_does(tiny_tokenizer):
    num_rows, n, rate = 3000, 126, 0.15
    picked_BT = picks(Masker(uniform, tiny_tokenizer, budget="bernoulli", rate=rate), blocks(num_rows))
    spread = (rate * (1 - rate)) ** 0.5
    assert abs(picked_BT[:, 1:-1].double().mean() - rate) < 4 * spread / (num_rows * n) ** 0.5
    counts_B = picked_BT.sum(dim=-1).double()
    assert counts_B.var().item() == pytest.approx(n * spread**2, rel=0.15)


@pytest.mark.parametrize("unit", ["word", "span"])
def test_bernoulli_masking_of_longer_units_meets_the_rate_too(tiny_tokenizer, unit):
    picked_BT = picks(Masker(uniform, tiny_tokenizer, unit=unit, budget="bernoulli"), blocks(2000))
    assert picked_BT[:, 1:-1].double().mean().item() == pytest.approx(0.15, abs=0.01)


def test_scores_spent_as_scored_are_the_probabilities_of_being_masked(tiny_tokenizer):
    batch = blocks(4000, num_tokens=20)
    chance = lambda batch: batch["input_ids"] % 4 / 4  # noqa: E731
    picked_BT = picks(Masker(chance, tiny_tokenizer, budget="from-scores"), batch)
    for residue in range(4):
        here_BT = (batch["input_ids"] % 4 == residue) & (batch["input_ids"] >= ORDINARY[0])
        share = picked_BT[here_BT].double().mean().item()
        assert share == pytest.approx(residue / 4, abs=4 * 0.5 / here_BT.sum().item() ** 0.5)


@pytest.mark.parametrize("unit", UNITS)
def test_bert_corruption_has_berts_shares_and_one_fate_for_a_whole_unit(tiny_tokenizer, unit):
    batch = blocks(800)
    masker = Masker(uniform, tiny_tokenizer, unit=unit, corruption=BERT)
    masked = masker(batch)
    _, units = masker.choose(masker.prepare(batch), uniform(batch))
    pieces = {}
    for row, position in (masked["labels"] != IGNORE).nonzero().tolist():
        seen = masked["input_ids"][row, position].item()
        fate = "mask" if seen == MASK else "same" if seen == batch["input_ids"][row, position] else "random"
        pieces.setdefault((row, units.groups_BT[row, position].item()), []).append(fate)
    # A replacement may happen to be the token itself, so a unit of random tokens has a few that look unchanged.
    assert all(set(fates) in ({"mask"}, {"same"}, {"random"}, {"random", "same"}) for fates in pieces.values())
    assert sum(len(set(fates)) > 1 for fates in pieces.values()) < 0.02 * len(pieces)
    assert (max(map(len, pieces.values())) > 1) == (unit != "token")
    fates = ["random" if "random" in fates else fates[0] for fates in pieces.values()]
    assert chi_square([fates.count(fate) for fate in ("mask", "random", "same")], BERT) < 2 + 5 * 4**0.5


def test_random_replacements_are_neither_special_nor_unused():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", "[unused0]", "[unused1]", "[unusual]", "a", "b"]
    words = models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]")
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), **names)
    assert Vocabulary.of(tokenizer).ordinary_ids_N.tolist() == [6, 7, 8]
    batch = {"input_ids": torch.full((50, 100), 7), "example_id": torch.arange(50)}
    seen_BT = Masker(uniform, tokenizer, corruption=(0, 1, 0), rate=0.9)(batch)["input_ids"]
    assert seen_BT.unique().tolist() == [6, 7, 8]


def test_bernoulli_bert_masking_matches_the_collator_of_transformers(tiny_tokenizer):
    """Not in its draws but in distribution: how much is picked, and what becomes of it."""
    batch = blocks(3000)
    collator = DataCollatorForLanguageModeling(tiny_tokenizer, mlm_probability=0.15, seed=0)
    theirs = collator([{"input_ids": row} for row in batch["input_ids"]])
    ours = Masker(uniform, tiny_tokenizer, budget="bernoulli", corruption=BERT)(batch)
    counts = []
    for masked in (ours, theirs):
        picked_BT = masked["labels"] != IGNORE
        is_mask_BT, same_BT = masked["input_ids"] == MASK, masked["input_ids"] == batch["input_ids"]
        assert torch.equal(masked["labels"][picked_BT], batch["input_ids"][picked_BT])
        assert not picked_BT[:, [0, -1]].any()
        kinds = (picked_BT & is_mask_BT, picked_BT & same_BT, picked_BT & ~same_BT & ~is_mask_BT, ~picked_BT[:, 1:-1])
        counts.append([kind.sum().item() for kind in kinds])
    table = torch.tensor(counts).double()
    expected = table.sum(0, keepdim=True) * table.sum(1, keepdim=True) / table.sum()
    # Theirs also draws special tokens as replacements, [MASK] among them: 1 in 113 of a tenth.
    assert ((table - expected) ** 2 / expected).sum() < 3 + 5 * 6**0.5


# Scores, batches and mistakes.


def test_a_score_is_any_function_and_sees_what_may_be_masked_and_when(tiny_tokenizer):
    seen = {}
    batch = blocks(2, num_tokens=10) | {"token_type_ids": torch.zeros(2, 12)}
    score = lambda batch: seen.update(batch) or -batch["input_ids"]  # noqa: E731
    masked = Masker(score, tiny_tokenizer, pick="high", rate=0.1)(batch, TrainState(1, 7, 0.5))
    assert seen["state"] == (1, 7, 0.5)
    assert seen["eligible"].sum(dim=-1).tolist() == [10, 10]
    assert set(masked) == {"input_ids", "labels", "token_type_ids"}, "what the model takes is handed on"
    assert masked["labels"].amax(dim=-1).tolist() == batch["input_ids"][:, 1:-1].amin(dim=-1).tolist()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pick", PICKS)
def test_scores_need_not_be_finite_where_nothing_may_be_masked(tiny_tokenizer, unit, pick):
    batch = make_batch(tiny_tokenizer, [[CLS, 9, 10, 11, 12, SEP], [SEP]], [[-1, 0, 0, 1, 1, -1], [-1]])
    score = lambda batch: torch.where(batch["eligible"], 1.0, torch.nan)  # noqa: E731
    finite = Masker(uniform, tiny_tokenizer, unit=unit, pick=pick, rate=0.75)
    picked_BT = picks(Masker(score, tiny_tokenizer, unit=unit, pick=pick, rate=0.75), batch)
    assert torch.equal(picked_BT, picks(finite, batch))
    assert picked_BT.any()


def test_a_score_that_is_not_a_number_names_the_row_and_the_example(tiny_tokenizer):
    batch = make_batch(tiny_tokenizer, [[9, 10], [9, 7], [9, 7]], example_ids=[31, 42, 53])

    def broken(batch):
        return torch.where(batch["input_ids"] == 7, math.nan, 1.0)

    with pytest.raises(InputError, match=r"The score 'broken' gave nan in row 1 of the batch \(example 42\)"):
        Masker(broken, tiny_tokenizer)(batch)


@unhurried
@given(texts(), ways, st.integers(0, 3))
def test_infinite_scores_mean_never_and_always_under_every_way_of_masking(tiny_tokenizer, text, way, epoch):
    rows, word_ids = text
    batch = make_batch(tiny_tokenizer, rows, word_ids)
    limits = {0: -math.inf, 1: math.inf}
    score = lambda batch: (batch["input_ids"] % 5).double().apply_(lambda x: limits.get(x, x / 10))  # noqa: E731
    masker = Masker(score, tiny_tokenizer, **way)
    prepared = masker.prepare(batch, TrainState(epoch))
    picked_BT, units = masker.choose(prepared, masker.scores(prepared))
    for row, ids in enumerate(units.groups_BT.tolist()):
        groups = {group: [place for place, other in enumerate(ids) if other == group] for group in set(ids) - {-1}}
        tokens = batch["input_ids"][row]
        never = {group for group, places in groups.items() if any(tokens[place] % 5 == 0 for place in places)}
        always = {group for group, places in groups.items() if any(tokens[place] % 5 == 1 for place in places)} - never
        masked = {group for group, places in groups.items() if picked_BT[row, places].any()}
        assert not masked & never
        if masker.budget == "exact":
            assert masked >= always or masked <= always, "before all others"
            assert masked or groups.keys() == never
        else:
            assert masked >= always


def test_a_score_of_the_wrong_shape_says_both_shapes(tiny_tokenizer):
    with pytest.raises(InputError, match=r"shape \(2, 12\); The score '<lambda>' returned shape \(2,\)"):
        Masker(lambda batch: torch.ones(2), tiny_tokenizer)(blocks(2, num_tokens=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pick": "hihg"}, "No pick strategy 'hihg'.*Did you mean 'high'"),
        ({"unit": "words"}, "No unit 'words'.*Did you mean 'word'"),
        ({"budget": "bernouli"}, "No budget 'bernouli'.*Did you mean 'bernoulli'"),
        ({"budget": "bernoulli", "pick": "high"}, "needs pick='sample'; found 'high'"),
        ({"corruption": (0.8, 0.1, 0.2)}, "add to 1; found 0.8 / 0.1 / 0.2"),
        ({"rate": 15}, "between 0 and 1; found 15"),
        ({"rate": 0.0}, "between 0 and 1; found 0.0"),
        ({"rate": rates.one_token(), "budget": "bernoulli"}, "an exact budget.*Use budget='exact'"),
        ({"rate": lambda progress: 15}, "schedule gave 15 at progress 0"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_there_is(tiny_tokenizer, arguments, message):
    with pytest.raises(InputError, match=message):
        Masker(uniform, tiny_tokenizer, **arguments)


def test_a_schedule_that_leaves_the_shares_during_the_run_is_an_error_that_says_when(tiny_tokenizer):
    masker = Masker(uniform, tiny_tokenizer, rate=lambda progress: 0.5 + progress)
    assert picks(masker, blocks(1)).any()
    with pytest.raises(InputError, match=r"gave 1\.0 at progress 0\.5"):
        masker(blocks(1), TrainState(0, 0, 0.5))


def test_a_tokenizer_without_a_mask_token_is_an_error():
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(InputError, match="no mask token"):
        Masker(uniform, PreTrainedTokenizerFast(tokenizer_object=words))


@pytest.mark.parametrize("unit", ["word", "span"])
def test_words_without_word_ids_are_an_error_that_says_where_to_get_them(tiny_tokenizer, unit):
    batch = {"input_ids": torch.tensor([[9, 10]])}
    with pytest.raises(InputError, match=r"needs a `word_ids` column.*found input_ids.*word_ids\(\)"):
        Masker(uniform, tiny_tokenizer, unit=unit)(batch)
