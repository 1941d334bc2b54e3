"""What the packaged recipes' maskers do with special tokens: they are for the flawed baseline of 2023 alone.

Shapes: B sequences, T positions, V vocabulary.
"""

from types import SimpleNamespace

import pytest
import torch

from maskwise.lab.masking_settings import MaskingSettings
from maskwise.lab.pretraining.build import build_masker
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.score_context import TrainState
from maskwise.recipes import load_recipe
from maskwise.testing import SIDES, make_batch

PAD, _, CLS, SEP, MASK = range(5)  # of tiny_tokenizer
SEEDS = range(3)
NUM_ROWS = 600


def masker_of(recipe, tokenizer, seed):
    """Returns a recipe's masker over a text in which every type is as frequent."""
    data = SimpleNamespace(tokenizer=tokenizer, token_counts=torch.full((len(tokenizer),), 100).numpy())
    return build_masker(MaskingSettings(**load_recipe(recipe)["masking"]), data, seed=seed)


def sentences(tokenizer, seed):
    """Rows of 3 to 20 tokens between [CLS] and [SEP], padded on the one side or the other."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 21, (NUM_ROWS,), generator=generator).tolist()
    texts = [torch.randint(5, len(tokenizer), (length,), generator=generator).tolist() for length in lengths]
    return make_batch(tokenizer, [[CLS, *text, SEP] for text in texts], side=SIDES[seed % len(SIDES)], num_extra=1)


def table_with_salient_special_tokens(num_types, seed):
    saliency_V = torch.rand(num_types, generator=torch.Generator().manual_seed(seed)).double()
    saliency_V[: MASK + 1] = 1.0  # above all draws
    return {"saliency": saliency_V, "visited": torch.ones(num_types, dtype=torch.bool), "num_steps": 1}


def assert_share(picked_BT, where_BT, rate):
    """Asserts that a share of the tokens is `rate`, to within four standard errors of as many coins."""
    number = int(where_BT.sum())
    assert number >= NUM_ROWS
    share = picked_BT[where_BT].double().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / number) ** 0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_random_baseline_of_2023_masks_the_first_and_the_last_token_as_often_as_any(tiny_tokenizer, seed):
    """Its flaw is what it is kept for: without it the old comparison could not be redone."""
    masker, batch = masker_of("typhoon-2023-random", tiny_tokenizer, seed), sentences(tiny_tokenizer, seed)
    ids_BT = batch["input_ids"]
    masked = masker(batch, TrainState(epoch=seed))
    picked_BT = masked["labels"] != IGNORE
    for where_BT in (ids_BT == CLS, ids_BT == SEP, ids_BT > MASK):
        assert_share(picked_BT, where_BT, rate=0.3)
        assert (masked["input_ids"][where_BT & picked_BT] == MASK).all()
        assert torch.equal(masked["labels"][where_BT & picked_BT], ids_BT[where_BT & picked_BT])
    assert (ids_BT == PAD).any()
    assert not picked_BT[ids_BT == PAD].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_random_baseline_of_2023_masks_each_special_token_on_its_own(tiny_tokenizer, seed):
    masker, batch = masker_of("typhoon-2023-random", tiny_tokenizer, seed), sentences(tiny_tokenizer, seed)
    picked_BT = masker(batch)["labels"] != IGNORE
    first_B, last_B = (picked_BT[batch["input_ids"] == token] for token in (CLS, SEP))
    assert_share(first_B & last_B, torch.ones_like(first_B), rate=0.3**2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("recipe", "rate"), [("random", 0.15), ("typhoon", 0.15), ("typhoon-2023", 0.3)])
def test_the_other_recipes_mask_words_and_never_a_special_token(tiny_tokenizer, recipe, rate, seed):
    """Not at the start, nor once Typhoon's table holds special tokens for the most salient of all types."""
    masker, batch = masker_of(recipe, tiny_tokenizer, seed), sentences(tiny_tokenizer, seed)
    is_text_BT = batch["input_ids"] > MASK
    for epoch in range(2):
        picked_BT = masker(batch, TrainState(epoch))["labels"] != IGNORE
        assert not picked_BT[~is_text_BT].any()
        assert picked_BT[is_text_BT].double().mean().item() == pytest.approx(rate, abs=0.05)
        if recipe != "random":
            masker.score.load_state_dict(table_with_salient_special_tokens(len(tiny_tokenizer), seed))
            assert masker.score.type_rates(rate)[MASK + 1 :].std() > 0.01
