"""Word borders and the quick way, against `Encoding.word_ids` of one text at a time, for every family of tokenizers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from fixtures.corpora import TEXTS
from maskwise.lab.tokens.parallel import PieceEncoder
from maskwise.lab.tokens.subwords import ChunkEncoder, chunk_splitter, encode_pieces


def byte_level(add_prefix_space):
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "</s>", "<mask>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return core


def wordpiece(**normalizer):
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(**normalizer)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=250, special_tokens=specials, show_progress=False)
    )
    return core


def roberta():
    core = byte_level(add_prefix_space=False)
    core.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return core


def byte_level_with_template():
    core = byte_level(add_prefix_space=False)
    core.normalizer = normalizers.NFC()
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return core


def metaspace():
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=150, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    )
    return core


def with_added_token():
    core = wordpiece()
    core.add_tokens([AddedToken("along the", normalized=False)])
    return core


TOKENIZERS = {
    "bert uncased": wordpiece,
    "bert cased": lambda: wordpiece(lowercase=False),
    "roberta": roberta,
    "byte-level with a template": byte_level_with_template,
    "byte-level with a prefix space": lambda: byte_level(add_prefix_space=True),
    "metaspace": metaspace,
    "added token across a space": with_added_token,
}
QUICK = {"bert uncased", "bert cased", "roberta", "byte-level with a template"}


@pytest.fixture(scope="module", params=TOKENIZERS)
def named_tokenizer(request):
    core = TOKENIZERS[request.param]()
    core.encode_special_tokens = True
    return request.param, core


def assert_equal_to_word_ids(pieces, core, texts):
    """Ids are the tokenizer's, and two neighbours are one word exactly where their word ids are equal."""
    at = 0
    for text, length in zip(texts, pieces.lengths_N.tolist(), strict=True):
        encoding = core.encode(text, add_special_tokens=False)
        assert pieces.ids_P[at : at + length].tolist() == encoding.ids
        words = encoding.word_ids
        expected = [at == 0 or words[at] != words[at - 1] for at in range(len(words))]
        assert pieces.starts_P[at : at + length].tolist() == expected
        at += length
    assert at == len(pieces.ids_P)


def test_encode_gives_the_tokenizers_ids_and_words(named_tokenizer):
    _, core = named_tokenizer
    assert_equal_to_word_ids(encode_pieces(core, [*TEXTS, "", *TEXTS]), core, [*TEXTS, "", *TEXTS])


def test_the_quick_way_is_known_for_the_families_it_is_exact_for(named_tokenizer):
    name, core = named_tokenizer
    assert (chunk_splitter(core) is not None) == (name in QUICK)


ODD_TEXT = st.text(st.sampled_from("ab'sé́σΣİ1, .-[]中国 \t\n\u00a0\u2009\u200b\u3000Ａß½"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD_TEXT, min_size=1, max_size=5))
def test_the_encoder_equals_the_tokenizer_on_any_text(named_tokenizer, texts):
    _, core = named_tokenizer
    encoder = PieceEncoder(core)
    for batch in (TEXTS, texts, texts[::-1]):
        assert_equal_to_word_ids(encoder(batch), core, batch)


@pytest.mark.parametrize("name", sorted(QUICK))
def test_the_quick_way_alone_equals_the_tokenizer(name):
    core = TOKENIZERS[name]()
    core.encode_special_tokens = True
    quick = ChunkEncoder(core, chunk_splitter(core))
    for batch in (TEXTS, TEXTS[::-1], ["a", "  \n ", TEXTS[0] + "\n\n" + TEXTS[5] + " "]):
        assert_equal_to_word_ids(quick(batch), core, batch)


def test_forgetting_what_was_met_changes_nothing(monkeypatch):
    monkeypatch.setattr("maskwise.lab.tokens.subwords.MAX_CACHED_CHUNKS", 3)
    core = wordpiece()
    core.encode_special_tokens = True
    quick = ChunkEncoder(core, str.split)
    for text in TEXTS * 2:
        assert_equal_to_word_ids(quick([text]), core, [text])


def test_a_splitter_that_is_wrong_for_a_tokenizer_is_found_out_and_left():
    core = byte_level(add_prefix_space=False)
    encoder = PieceEncoder(core)
    encoder._quick = ChunkEncoder(core, str.split)  # loses the white space that byte-level tokens carry
    assert_equal_to_word_ids(encoder(TEXTS[:1]), core, TEXTS[:1])
    assert encoder._quick is None


def test_special_tokens_written_in_a_text_stay_text():
    core = wordpiece()
    core.encode_special_tokens = True
    mask = core.token_to_id("[MASK]")
    assert mask not in PieceEncoder(core)(["[MASK] and [SEP] are written here"]).ids_P


def test_select_takes_whole_documents():
    core = wordpiece()
    pieces = encode_pieces(core, TEXTS)
    keep = np.array([True, False, True, False, False, True, False])
    chosen = encode_pieces(core, [text for text, kept in zip(TEXTS, keep, strict=True) if kept])
    assert all(map(np.array_equal, pieces.select(keep), chosen))
