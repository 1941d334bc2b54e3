"""Vocabularies with holes, and word ids that do not separate words, through preparing, training and preview."""

import numpy as np
import pytest
import torch

from fixtures.tokenizers import TEXT, one_word, renumbered
from maskwise.errors import InputError
from maskwise.evaluation.held_out import evaluate_unigram, make_held_out_eval
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.build import load_model
from maskwise.lab.previews.example import pieces_of
from maskwise.lab.tokens.describe import describe
from maskwise.lab.tokens.extend_tokenizer import extends, pieces_of_new_tokens, with_words
from maskwise.lab.tokens.prepare import PrepareSettings, prepare
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.masking.vocabulary import Vocabulary, num_token_ids
from maskwise.models.loading import check_size
from maskwise.models.presets import build_model
from maskwise.testing import check_score

HOLES = {
    "in the middle": lambda i: None if 60 <= i < 70 else i,
    "before the last ids": lambda i: i if i < 120 else i + 70_000,
}


@pytest.fixture(params=HOLES)
def holed(request, tiny_tokenizer):
    return renumbered(tiny_tokenizer, HOLES[request.param])


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(f"{text} {'abcdefghij'[i % 10] * (i // 10 + 1)}" for i, text in enumerate(TEXT)))
    return path


def prepared(tokenizer, corpus, tmp_path, **settings):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    made = PrepareSettings(
        sources=(str(corpus),), out=tmp_path / "data", tokenizer=str(tmp_path / "tokenizer"), block=32, workers=1,
        valid_share=0.2, **settings,
    )  # fmt: skip
    return prepare(made, show=False)


def test_tables_reach_to_the_largest_id_and_not_to_the_number_of_tokens(holed, corpus, tmp_path):
    """len() of a tokenizer is the number of its tokens: with a hole the last ids are beyond it."""
    size = max(holed.get_vocab().values()) + 1
    assert num_token_ids(holed) == size > len(holed)
    data = prepared(holed, corpus, tmp_path)
    ids = {token for row in data.train["input_ids"] for token in row}
    assert ids <= set(data.tokenizer.get_vocab().values()) and len(ids) > 40
    assert len(data.token_counts) == data.manifest["vocabulary"] == size
    settings = resolve({"data": {"path": str(data.path)}, "model": {"preset": "tiny"}})
    model = load_model(settings, data)
    assert model.get_input_embeddings().weight.shape[0] == size
    most = int(np.where(np.isin(np.arange(size), data.tokenizer.all_special_ids), 0, data.token_counts).argmax())
    assert int(model.get_output_embeddings().bias.argmax()) == most, "it starts at the unigram frequencies"
    rows = pad_batch([data.train[i] for i in range(4)], holed.pad_token_id)
    assert torch.isfinite(model(input_ids=rows["input_ids"]).logits).all()


def test_random_replacements_and_what_may_be_masked_are_ids_that_exist(holed):
    known = set(holed.get_vocab().values())
    vocabulary = Vocabulary.of(holed)
    assert set(vocabulary.ordinary_ids_N.tolist()) == known - set(holed.all_special_ids)
    assert set(vocabulary.eligible_V.nonzero().flatten().tolist()) <= known
    special = Vocabulary.of(holed, with_special_tokens=True)
    assert set(special.eligible_V.nonzero().flatten().tolist()) == known - {holed.pad_token_id}
    batch = {"input_ids": torch.full((50, 100), 30), "example_id": torch.arange(50)}
    seen_BT = Masker(uniform, holed, corruption=(0, 1, 0), rate=0.9)(batch)["input_ids"]
    assert set(seen_BT.unique().tolist()) <= known


def test_the_unigram_floor_gives_no_mass_to_ids_without_a_token(holed, corpus, tmp_path):
    data = prepared(holed, corpus, tmp_path)
    held_out = make_held_out_eval(data.valid, data.tokenizer, token_counts=data.token_counts)
    maskable = sorted(set(holed.get_vocab().values()) - set(holed.all_special_ids) | {holed.unk_token_id})
    counts_V = held_out.counts_V[maskable] + 1.0
    labels = torch.cat([batch["labels"][batch["labels"] >= 0] for batch in held_out.batches()])
    expected = -(held_out.counts_V[labels] + 1.0).div(counts_V.sum()).log().mean()
    assert evaluate_unigram(held_out).as_dict()["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_is_large_enough_if_it_has_the_largest_id(holed):
    size = num_token_ids(holed)
    check_size("enough", build_model("tiny", size, seed=0), holed)
    with pytest.raises(InputError, match=rf"has {len(holed):,} embeddings.*ids up to {size - 1:,}"):
        check_size("too small", build_model("tiny", len(holed), seed=0), holed)


def test_new_words_are_numbered_from_the_largest_id_on(holed):
    extended = with_words(holed, ["glioblastoma", "zebra"])
    size = num_token_ids(holed)
    assert extended.convert_tokens_to_ids(["glioblastoma", "zebra"]) == [size, size + 1]
    assert extends(holed, extended)
    assert set(pieces_of_new_tokens(holed, extended)) == {size, size + 1}


def test_scores_are_checked_on_ids_that_exist(holed):
    known = set(holed.get_vocab().values())

    def score(batch):
        assert set(batch["input_ids"].unique().tolist()) <= known
        return batch["input_ids"].float()

    check_score(score, holed)


def test_blocks_of_a_one_word_tokenizer_have_the_words_that_its_vocabulary_marks(corpus, tmp_path):
    tokenizer = one_word()
    data = prepared(tokenizer, corpus, tmp_path)
    assert data.manifest["word_borders"] == "marks"
    assert "words begin where the vocabulary marks them" in describe(data)
    for row in (data.train[i] for i in range(20)):
        tokens = tokenizer.convert_ids_to_tokens(row["input_ids"])
        words = np.array(row["word_ids"])
        assert words[0] == words[-1] == -1
        begins = np.flatnonzero(np.diff(words) != 0) + 1
        body = [place for place in begins[:-1] if words[place] >= 0]
        marked = [place for place, token in enumerate(tokens) if token.startswith("\u2581")]
        assert set(marked) <= set(body)
        assert all(place in marked or words[place - 1] == -1 or place == 1 for place in body)


def test_blocks_of_words_that_nothing_tells_apart_say_so_and_are_masked_by_tokens_alone(corpus, tmp_path):
    data = prepared(one_word(mark=None), corpus, tmp_path)
    assert data.manifest["word_borders"] == "nothing"
    assert "word and span masking are refused" in describe(data)
    with pytest.raises(InputError, match="one word id to a whole text"):
        Masker(uniform, data.tokenizer, unit="word")


def test_other_tokenizers_say_nothing_of_words(tiny_tokenizer, corpus, tmp_path):
    data = prepared(tiny_tokenizer, corpus, tmp_path)
    assert data.manifest["word_borders"] == "tokenizer" and "word id" not in describe(data)


def test_a_one_word_tokenizer_cannot_be_extended_and_the_message_says_why(corpus, tmp_path):
    """It said that the tokenizer had the words of the text already."""
    one_word().save_pretrained(tmp_path / "tokenizer")
    settings = PrepareSettings(
        sources=(str(corpus),), out=tmp_path / "data", extend_tokenizer=str(tmp_path / "tokenizer"), new_words=5
    )
    with pytest.raises(InputError, match="takes a whole text as one word"):
        prepare(settings, show=False)
    assert not (tmp_path / "data").exists()


def test_a_preview_shows_the_words_of_a_one_word_tokenizer():
    pieces, _ = pieces_of("the walkers walked quietly", one_word())
    assert [i for i, piece in enumerate(pieces) if not piece.continues] == [
        i for i, piece in enumerate(pieces) if i == 0 or piece.name.startswith("\u2581")
    ]
    assert any(piece.continues for piece in pieces)
