"""No word is split, whatever the tokenizer: where words begin is known to the tokenizer, not to the gaps in a text.

Shapes: B sequences, T positions.
"""

import random

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.masking.units import MAX_WORD_PIECES

SYLLABLES = ["ba", "de", "fi", "go", "lu", "ma", "ne", "ri", "so", "tu", "ka", "mi"]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
CHINESE = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳"


def some_text(num_sentences=300):
    rng = random.Random(0)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 5))) for _ in range(150)]
    return [" ".join(rng.choices(words, k=rng.randint(30, 60))) + "." for _ in range(num_sentences)]


def chinese_text(num_sentences=200):
    rng = random.Random(0)
    return ["".join(rng.choices(CHINESE, k=rng.randint(40, 80))) + "。" for _ in range(num_sentences)]


def trained(tokenizer, trainer, text, post_processor=None):
    tokenizer.train_from_iterator(text, trainer)
    if post_processor == "template":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
    elif post_processor == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2), add_prefix_space=False)
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def word_piece(text):
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=SPECIAL, show_progress=False)
    return trained(tokenizer, trainer, text, "template")


def byte_level(text, post_processor):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    return trained(tokenizer, trainer, text, post_processor)


def metaspace(text):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False, max_piece_length=5
    )
    return trained(tokenizer, trainer, text, "template")


TOKENIZERS = {
    "WordPiece": (word_piece, some_text),
    "RoBERTa's byte-level BPE": (lambda text: byte_level(text, "roberta"), some_text),
    "byte-level BPE with a template": (lambda text: byte_level(text, "template"), some_text),
    "Metaspace": (metaspace, some_text),
    "Chinese under WordPiece": (word_piece, chinese_text),
    "Chinese under byte-level BPE": (lambda text: byte_level(text, "roberta"), chinese_text),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenized(request):
    """(name, tokenizer, text, its rows with word ids, -1 at special tokens)."""
    make_tokenizer, make_text = TOKENIZERS[request.param]
    text = make_text()
    tokenizer = make_tokenizer(text)
    encoded = tokenizer(text)
    rows = [
        {"input_ids": ids, "word_ids": [-1 if w is None else w for w in encoded.word_ids(i)], "example_id": i}
        for i, ids in enumerate(encoded["input_ids"])
    ]
    return request.param, tokenizer, text, rows


def positions_by_word(row):
    words = {}
    for position, word in enumerate(row["word_ids"]):
        if word >= 0:
            words.setdefault(word, []).append(position)
    return list(words.values())


def masks(tokenizer, rows, unit):
    batch = pad_batch(rows, tokenizer.pad_token_id)
    labels_BT = Masker(uniform, tokenizer, unit=unit)(batch)["labels"]
    return (labels_BT != IGNORE).tolist()


@pytest.mark.parametrize("unit", ["word", "span"])
def test_no_word_is_split_and_no_row_is_left_unmasked(tokenized, unit):
    """Words found by gaps in the text once left 85% of byte-level rows unmasked and masked the rest whole."""
    _, tokenizer, _, rows = tokenized
    assert len(rows) >= 200
    for row, mask in zip(rows, masks(tokenizer, rows, unit), strict=True):
        units = [word for word in positions_by_word(row) if len(word) <= MAX_WORD_PIECES]
        assert all(len({mask[position] for position in word}) == 1 for word in units)
        assert any(mask)


def test_a_row_masks_its_share_of_the_words_whatever_their_length(tokenized):
    """A budget of tokens would never reach a word that is longer than it; a word is counted as one here."""
    _, tokenizer, _, rows = tokenized
    for row, mask in zip(rows, masks(tokenizer, rows, "word"), strict=True):
        words = positions_by_word(row)
        units = [word for word in words if len(word) <= MAX_WORD_PIECES]
        units += [[position] for word in words if len(word) > MAX_WORD_PIECES for position in word]
        share = 0.15 * len(units)
        assert max(int(share), 1) <= sum(mask[unit[0]] for unit in units) <= max(int(share) + 1, 1)


def test_a_short_row_masks_one_word_however_long(tokenized):
    _, tokenizer, _, rows = tokenized
    short = [{key: value if key == "example_id" else value[:6] for key, value in row.items()} for row in rows]
    for row, mask in zip(short, masks(tokenizer, short, "word"), strict=True):
        masked = [word for word in positions_by_word(row) if any(mask[position] for position in word)]
        assert len(masked) == 1 and all(mask[position] for position in masked[0])


def test_words_are_the_words_of_the_text(tokenized):
    """Guards the test itself: a tokenizer whose words were its tokens would pass everything above."""
    name, _, text, rows = tokenized
    num_words = [len(positions_by_word(row)) for row in rows]
    if name == "Chinese under byte-level BPE":
        assert max(num_words) <= 3, "a whole sentence is one word here, so its pieces stand in for words"
    elif name == "Chinese under WordPiece":
        assert num_words == [len(sentence) for sentence in text]
    else:
        expected = [len(sentence.split()) for sentence in text]
        full_stop = 0 if name == "Metaspace" else 1
        assert num_words == [words + full_stop for words in expected]
        assert max(len(word) for row in rows for word in positions_by_word(row)) > 2
