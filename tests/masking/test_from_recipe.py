"""Recipes in a script: the same maskers as the laboratory's, from the same files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from maskwise import Entropy, Masker, Surprisal, Typhoon, load_recipe
from maskwise.errors import InputError
from maskwise.masking.recipe_arguments import read_rate
from maskwise.recipes import SCORES, recipe_names
from maskwise.scores.refreshed import RefreshedScores
from maskwise.testing import make_batch

RECIPES = recipe_names()


@pytest.fixture
def counts(tiny_tokenizer):
    return np.full(len(tiny_tokenizer), 7)


def batch_of(tokenizer):
    batch = make_batch(tokenizer, [[2, *range(20, 40), 3], [2, *range(40, 50), 3]])
    return batch | {"tags": batch["input_ids"] % 3, "entities": torch.where(batch["input_ids"] % 5 > 2, 7, -1)}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_a_masker_that_masks(tiny_tokenizer, tiny_model, counts, name):
    masker = Masker.from_recipe(name, tiny_tokenizer, teacher=tiny_model, token_counts=counts)
    for score in masker.scores_inside:
        score.bind(tiny_model if name == "entropy-self-cold" else type(tiny_model)(tiny_model.config), tiny_tokenizer)
    masked = masker(batch_of(tiny_tokenizer))
    assert (masked["labels"] >= 0).any()
    recipe = load_recipe(name)["masking"]
    assert (masker.pick, masker.budget) == (recipe["pick"], recipe["budget"])
    assert masker.unit_rule.name in (recipe["unit"], recipe["unit"].rpartition(":")[2])
    assert masker.rate_at(0.5) == read_rate(recipe["rate"])(0.5)
    assert list(masker.corruption) == recipe["corruption"]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_their_scores_as_text_in_full(name):
    assert load_recipe(name)["masking"]["score"] in SCORES.values()


def test_the_score_gets_its_teacher_and_what_the_recipe_says(tiny_tokenizer, tiny_model):
    high = Masker.from_recipe("entropy-high", tiny_tokenizer, teacher=tiny_model, folds=4).score
    assert isinstance(high, Entropy)
    assert (high.teacher.model, high.folds, high.share) == (tiny_model, 4, None)
    both = Masker.from_recipe("entropy-self", tiny_tokenizer, teacher=tiny_model).score
    assert both.share == 0.04
    assert isinstance(Masker.from_recipe("surprisal", tiny_tokenizer, teacher=tiny_model).score, Surprisal)
    refreshed = Masker.from_recipe("entropy-self-cold", tiny_tokenizer, refresh_epochs=2).score
    assert isinstance(refreshed, RefreshedScores)
    assert isinstance(refreshed.parts()[0], Entropy)


def test_overrides_are_laid_over_the_recipe(tiny_tokenizer, tiny_model):
    masker = Masker.from_recipe("whole-word", tiny_tokenizer, rate=0.3, seed=5, corruption=(1, 0, 0))
    assert (masker.unit, masker.rate_at(0), masker.seed, masker.corruption.mask) == ("word", 0.3, 5, 1)
    rate = {"schedule": "linear", "start": 0.3, "end": 0.1}
    assert Masker.from_recipe("random", tiny_tokenizer, rate=rate).rate_at(0.5) == pytest.approx(0.2)
    assert Masker.from_recipe("random", tiny_tokenizer, rate="one").rate_at(0.5) == 0
    switched = Masker.from_recipe("entropy-self", tiny_tokenizer, teacher=tiny_model, teacher_steps=9).score
    assert (switched.steps, switched.share) == (9, None)
    alone = Masker.from_recipe("entropy-self", tiny_tokenizer, source="self").score
    assert (alone.teacher, alone.share) == (None, None)


def test_a_score_of_ones_own_takes_the_place_of_the_recipes(tiny_tokenizer):
    """The rest of the recipe stays: `entropy-high` with another score masks the highest of these."""

    def longest(batch, power):
        return batch["input_ids"].float() ** power

    masker = Masker.from_recipe("entropy-high", tiny_tokenizer, score=longest, score_arguments={"power": 2})
    assert (masker.score.name, masker.pick) == ("longest", "high")
    labels = masker(batch_of(tiny_tokenizer))["labels"][0]
    assert labels[labels >= 0].tolist() == [37, 38, 39]


def test_a_recipe_of_ones_own_is_a_file(tiny_tokenizer, tmp_path):
    (tmp_path / "mine.py").write_text("def first(batch, sign):\n    return sign * batch['input_ids'].float()\n")
    file = tmp_path / "mine.toml"
    file.write_text(
        f'[masking]\nscore = "{tmp_path}/mine.py:first"\npick = "high"\nscore_arguments = {{ sign = -1 }}\n'
    )
    masker = Masker.from_recipe(file, tiny_tokenizer)
    labels = masker(batch_of(tiny_tokenizer))["labels"][0]
    assert labels[labels >= 0].tolist() == [20, 21, 22]


def test_a_tokenizer_may_be_given_by_its_folder(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path)
    assert Masker.from_recipe("random", str(tmp_path)).tokenizer.get_vocab() == tiny_tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("whole-wrod", {}, "Did you mean 'whole-word'"),
        ("entropy-high", {}, r"'entropy-high': This recipe scores with a teacher.*Give teacher="),
        ("typhoon", {}, r"give token_counts=count_tokens\(rows, tokenizer\)"),
        ("random", {"unti": "word"}, "Unknown masking setting 'unti'. Did you mean 'unit'"),
        ("random", {"folds": 3}, "folds = 3 is for entropy and surprisal; the score is uniform"),
        ("random", {"typhoon": {"cap": 0.3}}, "belongs to score = 'typhoon'"),
        ("entropy-self-cold", {"teacher_share": 0.5}, "goes with one of teacher_epochs"),
        ("entropy-self-cold", {"score_arguments": {"folds": 2}}, "score_arguments is for other scores; entropy is set"),
        ("entropy-self-cold", {"stored": True}, r"teacher=Stored\(folder\)"),
        ("random", {"rate": {"schedule": "steep", "start": 0.1, "end": 0.2}}, "one of linear, cosine; found 'steep'"),
        (
            "random",
            {"rate": {"schedule": "linear", "start": 0.1}},
            "a start and an end.*found schedule = 'linear'",
        ),
        ("typhoon", {"typhoon": {"loss": "task"}}, r"Masker\(TaskTyphoon\("),
    ],
)
def test_what_cannot_work_is_refused_with_the_recipes_name(tiny_tokenizer, name, more, message):
    with pytest.raises(InputError, match=message):
        Masker.from_recipe(name, tiny_tokenizer, **more)


def test_typhoon_gets_its_table_and_the_counts(tiny_tokenizer, counts):
    score = Masker.from_recipe("typhoon-2023", tiny_tokenizer, token_counts=counts).score
    assert isinstance(score, Typhoon)
    assert (score.aggregate, score.cap, score.ema) == ("signed-2023", 1.0, 0.8)
    other = Masker.from_recipe("typhoon", tiny_tokenizer, token_counts=counts, typhoon={"cap": 0.7}).score
    assert (other.cap, other.ema) == (0.7, 0.1)


def test_a_masker_prints_what_it_does(tiny_tokenizer, tiny_model):
    shown = repr(Masker.from_recipe("entropy-self", tiny_tokenizer, teacher=tiny_model, rate=0.2))
    assert shown == (
        "Masker(Entropy(BertForMaskedLM, share=0.04), unit='token', pick='high', rate=0.2, budget='exact', "
        "corruption=(1.0, 0.0, 0.0), seed=0)"
    )
    assert "end_rate=0.1" in repr(Masker.from_recipe("random", tiny_tokenizer, rate=read_rate(
        {"schedule": "cosine", "start": 0.3, "end": 0.1}
    )))  # fmt: skip


def test_the_same_recipe_masks_the_same_tokens_as_the_arguments_written_out(tiny_tokenizer):
    batch = batch_of(tiny_tokenizer)
    written = Masker(
        Masker.from_recipe("span", tiny_tokenizer).score, tiny_tokenizer, unit="span", corruption=(0.8, 0.1, 0.1)
    )
    named = Masker.from_recipe("span", tiny_tokenizer)
    assert all(torch.equal(named(batch)[key], written(batch)[key]) for key in ("input_ids", "labels"))
    assert pickle.loads(pickle.dumps(named.score)).name == "uniform"
