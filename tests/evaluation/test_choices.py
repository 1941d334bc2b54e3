import numpy as np
import pytest

from maskwise.errors import InputError
from maskwise.evaluation.choices import are_identical, are_reordered, as_table, chance, credits
from maskwise.evaluation.sentences import encode_sentences

INF = np.inf


@pytest.mark.parametrize(
    ("scores", "half", "first"),
    [
        ([-1.0, -2.0], 1, 1),
        ([-2.0, -1.0], 0, 0),
        ([-1.0, -1.0 + 0.9e-4], 0.5, 1),
        ([-1.0, -1.0 + 1.2e-4], 0, 0),
        ([-1.0, -1.0 - 0.9e-4], 0.5, 1),
        ([-1.0, -3.0, -1.0, -1.0], 1 / 3, 1),
        ([-3.0, -1.0, -1.0, -2.0], 0, 0),
        ([-1.0, -2.0, -INF, -INF], 1, 1),
    ],
)
def test_a_tie_is_shared_or_goes_to_the_first(scores, half, first):
    scores_IO = np.array([scores])
    assert credits(scores_IO)[0] == pytest.approx(half)
    assert credits(scores_IO, ties="first")[0] == first


def test_the_order_of_a_pair_turns_its_credit_around():
    scores_IO = np.random.default_rng(0).normal(size=(500, 2)).round(4) * 1e-3
    forth, back = credits(scores_IO), credits(scores_IO[:, ::-1])
    assert set(forth) == {0, 0.5, 1}
    assert (forth + back == 1).all()


def test_an_unknown_rule_for_ties_is_refused():
    with pytest.raises(InputError, match="Known: half, first"):
        credits(np.zeros((1, 2)), ties="good")


def test_items_of_few_options_are_filled_up_and_have_the_chance_of_their_own():
    scores_IO = as_table(np.array([-1.0, -2.0, -3.0, -4.0, -5.0]), np.array([2, 3]))
    assert scores_IO.tolist() == [[-1, -2, -INF], [-3, -4, -5]]
    assert chance(scores_IO).tolist() == [1 / 2, 1 / 3]


@pytest.mark.parametrize(
    ("texts", "identical", "reordered"),
    [
        (["The cat", "the cat"], True, False),
        (["a cat was old", "old was a cat"], False, True),
        (["a cat was old", "a cat was green"], False, False),
        (["a cat", "a cat a"], False, False),
        (["a 猫", "a 犬"], True, False),
        (["a big cat", "cat a big", "big cat a"], False, True),
        (["a big cat", "cat a big", "a bird"], False, False),
        (["a big cat", "cat big a", "A big cat"], True, False),
    ],
)
def test_identical_and_reordered_options_are_found_by_their_ids(tiny_tokenizer, texts, identical, reordered):
    options = encode_sentences(tiny_tokenizer, texts)
    assert (are_identical(options), are_reordered(options)) == (identical, reordered)
