"""Small tokenizers of three families, trained on the spot, and rows made with them."""

from __future__ import annotations

import pydoc_data.topics
import random
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

ROLES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
FAMILIES = ("wordpiece", "byte-bpe", "unigram")
VOCABULARY = 4096


def python_topics(words: int = 100) -> list[str]:
    """Returns Python's language reference in pieces of so many words, or what is left of a topic."""
    topics = [text.split() for _, text in sorted(pydoc_data.topics.topics.items())]
    return [" ".join(topic[i : i + words]) for topic in topics for i in range(0, len(topic), words)]


def train_tokenizer(family: str, corpus: list[str], size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Returns a small tokenizer of one of the three families, with [CLS] and [SEP] around a text."""
    special = list(ROLES.values())
    if family == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    elif family == "byte-bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=size, special_tokens=special, unk_token="[UNK]", show_progress=False
        )
    tokenizer.train_from_iterator(corpus, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **ROLES)


def make_rows(
    tokenizer: Any,
    corpus: list[str],
    num_rows: int,
    seed: int,
    *,
    lengths: tuple[int, int] = (24, 112),
    words=False,
    shortest: int = 8,
) -> list[dict[str, Any]]:
    """Returns rows of random lengths of texts in random order; `words` adds word ids and offsets."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for text in chance.sample(corpus, len(corpus)):
        encoded = tokenizer(
            text, truncation=True, max_length=chance.randint(*lengths), return_special_tokens_mask=True,
            return_offsets_mapping=True,
        )  # fmt: skip
        if len(encoded["input_ids"]) < shortest:
            continue
        row = {key: encoded[key] for key in ("input_ids", "attention_mask", "special_tokens_mask")}
        row["example_id"] = len(rows) + 1000 * seed
        if words:
            row["word_ids"] = [-1 if word is None else word for word in encoded.word_ids()]
            row["offset_mapping"] = encoded["offset_mapping"]
        rows.append(row)
        if len(rows) == num_rows:
            return rows
    raise ValueError(f"The texts give only {len(rows)} rows.")
