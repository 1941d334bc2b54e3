"""Whole words added to tokenizers of every family: what they save, and what they must leave alone."""

import json
from collections import Counter

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from maskwise.errors import InputError
from maskwise.lab.tokens.describe import describe
from maskwise.lab.tokens.extend_tokenizer import (
    MIN_COUNT,
    WordCounter,
    check_extendable,
    extends,
    mean_pieces_per_word,
    most_useful_words,
    pieces_of_new_tokens,
    with_words,
)
from maskwise.lab.tokens.tokenizer import open_tokenizer, train_tokenizer

GENERAL = ["The cat sat by the river; a dog walked along the street of the old city.", "We saw many birds."] * 20
DOMAIN = [
    "Glioblastoma cells were seen, and the glioblastoma grew: Astrocytoma by the river.",
    "An astrocytoma is no glioblastoma-like thing; glioblastomas are.",
]
ALPHABET = ["abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba -:;.,%", "A B C D E F G H X Y Z 1 2 5"]
OTHER = ["The dog saw the birds; gliders and astronauts walked.", "unseen words, XYZ 12.5%"]


def wordpiece():
    return train_tokenizer(lambda: iter([*GENERAL, *ALPHABET]), 110, "wordpiece")


def cased_wordpiece():
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=False)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=130, special_tokens=specials, show_progress=False)
    core.train_from_iterator([*GENERAL, *ALPHABET], trainer)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def byte_bpe():
    return train_tokenizer(lambda: iter(GENERAL), 300, "byte-bpe")


def roberta():
    model = json.loads(byte_bpe().backend_tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])


def unigram():
    """With its mask token outside the model's vocabulary, as DeBERTa-v3 has it."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=90, unk_token="<unk>", special_tokens=specials, show_progress=False)
    core.train_from_iterator([*GENERAL, *ALPHABET], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


FAMILIES = {
    "uncased": (wordpiece, "glioblastoma"),
    "cased": (cased_wordpiece, "glioblastoma"),
    "byte-level": (byte_bpe, "Ġglioblastoma"),
    "roberta": (roberta, "Ġglioblastoma"),
    "unigram": (unigram, "▁glioblastoma"),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    make, word = FAMILIES[request.param]
    return request.param, make(), word


def count(tokenizer, texts):
    counter = WordCounter(tokenizer.backend_tokenizer)
    counter.add(texts)
    return counter.counts


def test_a_new_word_is_one_piece_after_the_folder_is_loaded_again(family, tmp_path):
    """Special tokenizer classes rebuild themselves from their vocabulary, and RoBERTa's would lose the words."""
    _, base, word = family
    extended = with_words(base, [word])
    extended.save_pretrained(tmp_path)
    for tokenizer in (extended, AutoTokenizer.from_pretrained(tmp_path), open_tokenizer(str(tmp_path))):
        assert len(tokenizer) == len(base) + 1
        assert tokenizer.convert_tokens_to_ids(word) == len(base)
        assert word in tokenizer.tokenize("the glioblastoma grew")
        assert len(base.tokenize("the glioblastoma grew")) > len(tokenizer.tokenize("the glioblastoma grew"))
        assert tokenizer.mask_token_id == base.mask_token_id
        assert tokenizer("the")["input_ids"] == base("the")["input_ids"]
        assert tokenizer.decode(tokenizer("the glioblastoma grew", add_special_tokens=False)["input_ids"]) == (
            base.decode(base("the glioblastoma grew", add_special_tokens=False)["input_ids"])
        )


def test_text_without_the_new_words_is_cut_as_before(family):
    _, base, word = family
    extended = with_words(base, [word])
    for text in GENERAL + OTHER:
        assert extended(text)["input_ids"] == base(text)["input_ids"]


def test_borders_and_casing_are_the_tokenizers(family):
    name, base, word = family
    extended = with_words(base, [word])
    ids = extended("a Glioblastoma", add_special_tokens=False)["input_ids"]
    assert (len(base) in ids) == (name == "uncased")
    assert len(base) in extended("a glioblastoma-like thing")["input_ids"]
    assert len(base) not in extended("a neuroglioblastoma")["input_ids"]


def test_words_are_ranked_by_the_pieces_they_save(tiny_tokenizer):
    """Against a count by hand: zebra costs five pieces, teacher, walked and quickly two."""
    counts = Counter({"zebra": 5, "teacher": 30, "walked": 19, "the": 1000, "zoo": MIN_COUNT - 1, "quickly": 30})
    core = tiny_tokenizer.backend_tokenizer
    assert len(core.model.tokenize("zebra")) == 5
    assert most_useful_words(core, counts, 3) == ["quickly", "teacher", "zebra"]  # 30, 30, 20, then walked: 19
    assert most_useful_words(core, counts, 100) == ["quickly", "teacher", "zebra", "walked"]
    assert most_useful_words(core, dict(reversed(counts.items())), 3) == ["quickly", "teacher", "zebra"]


def test_only_words_of_letters_are_counted_in_the_vocabularys_writing(family):
    _, base, word = family
    counts = count(base, ["the glioblastoma 12 x9 ... a-b <mask> 50%"] * 3)
    assert counts[word] == 3
    assert not [w for w in counts if any(c.isdigit() or c in ".%<>" for c in w)]


def test_counting_is_the_same_in_one_go_or_in_many(family):
    _, base, _ = family
    parts = WordCounter(base.backend_tokenizer)
    for text in DOMAIN * 3:
        parts.add([text])
    assert parts.counts == count(base, DOMAIN * 3)
    assert parts.counts


def test_pieces_per_word_falls_and_equals_the_count_of_the_tokens(family):
    _, base, _ = family
    texts = ["The glioblastoma and the astrocytoma grew"] * 8  # nothing but words of letters
    counts = count(base, texts)
    words = most_useful_words(base.backend_tokenizer, counts, 2)
    extended = with_words(base, words)
    for tokenizer in (base, extended):
        tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
        assert mean_pieces_per_word(tokenizer.backend_tokenizer, counts) == tokens / (8 * 6)
    before, after = (mean_pieces_per_word(each.backend_tokenizer, counts) for each in (base, extended))
    assert after < before - 1


def test_the_pieces_of_a_new_token_are_those_it_had(family):
    _, base, word = family
    extended = with_words(base, [word])
    pieces = pieces_of_new_tokens(base, extended)
    assert list(pieces) == [len(base)]
    assert len(pieces[len(base)]) > 1
    assert "glioblastoma" in base.decode(pieces[len(base)]).replace(" ", "").replace("#", "").lower()
    assert extends(base, extended)
    assert not extends(base, base)
    assert not extends(extended, base)


def test_a_text_whose_words_are_all_known_is_answered_in_words(tiny_tokenizer):
    with pytest.raises(InputError, match=r"takes more than one piece.*\n.*--tokenizer"):
        most_useful_words(tiny_tokenizer.backend_tokenizer, {"the": 100, "zebra": 1}, 5)


def test_another_kind_of_tokenizer_is_refused():
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(InputError, match="of the kind WordLevel; known: WordPiece, BPE, Unigram"):
        check_extendable("words", words)


def test_prepare_adds_words_of_the_training_text_alone_and_says_what_they_save(make_data, tmp_path, vocabulary_file):
    """A word of the held-out text would make the evaluation easier by what only it knows."""
    held, train = tmp_path / "held.txt", tmp_path / "train.txt"
    train.write_text("\n\n".join(f"The glioma of the river was seen in case {'i' * n}" for n in range(1, 30)))
    held.write_text("\n\n".join(f"A meningioma or a glioma was not seen in {'o' * n}" for n in range(1, 30)))
    given = {"tokenizer": None, "extend_tokenizer": str(vocabulary_file), "new_words": 3, "valid": (str(held),)}
    data = make_data(train, **given)
    record = data.manifest["extended_tokenizer"]
    assert record["words"][0] == "glioma"
    assert "meningioma" not in data.tokenizer.get_vocab()
    assert data.manifest["vocabulary"] == len(data.tokenizer) == record["base_vocabulary"] + len(record["words"])
    assert data.token_counts[record["base_vocabulary"]] == 29
    for split in ("train", "valid"):
        assert record["pieces_per_word"][split]["after"] < record["pieces_per_word"][split]["before"]
    text = describe(data)
    assert "whole words added to the" in text
    assert f"valid {record['pieces_per_word']['valid']['before']:.3f} -> " in text
    again = make_data(train, **given, out=tmp_path / "again")
    assert again.manifest["tokenizer_sha256"] == data.manifest["tokenizer_sha256"]
    assert again.train["input_ids"][:] == data.train["input_ids"][:]
