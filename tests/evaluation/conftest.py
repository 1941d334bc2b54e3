"""Sentence pairs out of Python's documentation, and three families of tokenizers, each with a small random model."""

import pydoc_data.topics
import random
import re

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from maskwise.lab.tokens.tokenizer import train_tokenizer

NUM_PAIRS = 200


@pytest.fixture(scope="session")
def pairs():
    """200 pairs of 3 to 25 words; the second sentence has two words swapped, or one in place of another."""
    topics = pydoc_data.topics.topics
    words = re.findall(r"[A-Za-z][A-Za-z'_-]*", " ".join(topics[name] for name in sorted(topics)))
    rng = random.Random(0)
    made = []
    while len(made) < NUM_PAIRS:
        length = rng.choice([3, 4, 5, 8, 13, 25])
        start = rng.randrange(len(words) - length)
        good = words[start : start + length]
        bad, place = list(good), rng.randrange(length - 1)
        if len(made) % 2:
            bad[place], bad[place + 1] = bad[place + 1], bad[place]
        else:
            bad[place] = rng.choice(words)
        if good != bad:
            made.append((" ".join(good) + " .", " ".join(bad) + " ."))
    return made


def documentation():
    for name in sorted(pydoc_data.topics.topics)[:40]:
        yield from pydoc_data.topics.topics[name].splitlines()


def word_piece():
    return train_tokenizer(documentation, 800), BertConfig, BertForMaskedLM, {}


def byte_level():
    return train_tokenizer(documentation, 800, "byte-bpe"), RobertaConfig, RobertaForMaskedLM, {}


def sentence_piece():
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.UnigramTrainer(vocab_size=800, special_tokens=specials, unk_token="<unk>", show_progress=False)
    core.train_from_iterator(documentation(), trainer)
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **named)
    return tokenizer, AlbertConfig, AlbertForMaskedLM, {"embedding_size": 16}


FAMILIES = {"wordpiece": word_piece, "byte-bpe": byte_level, "unigram": sentence_piece}


@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """A tokenizer and a random model of two layers, whose predictions depend on the context by nats."""
    tokenizer, config, model, more = FAMILIES[request.param]()
    settings = config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=200,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        built = model(settings)
        for parameter in built.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return tokenizer, built.eval()
