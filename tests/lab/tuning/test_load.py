import pytest
import torch
from transformers import AutoModelForSequenceClassification

from maskwise.lab.tuning.load import encode, load_with_head


def head(checkpoint, seed):
    return load_with_head(
        AutoModelForSequenceClassification, str(checkpoint), seed=seed, freeze=False, num_labels=2
    ).model.classifier.weight


def test_the_seed_draws_the_head_and_the_global_generator_stays(checkpoint):
    before = torch.random.get_rng_state()
    assert torch.equal(head(checkpoint, 1), head(checkpoint, 1))
    assert not torch.equal(head(checkpoint, 1), head(checkpoint, 2))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("pairs", [False, True])
def test_texts_that_are_cut_are_counted(tiny_tokenizer, pairs):
    short, exact, long = "the dog", "the dog a cat the sun", "the dog a cat the sun a tree"
    texts = [[short, exact, long]] if not pairs else [["a", "the dog a", "the dog a cat"], ["dog", "a sun", "a sun"]]
    examples, num_cut = encode(tiny_tokenizer, texts, [0, 1, 1], max_length=8)
    lengths = [len(example["input_ids"]) for example in examples]
    assert lengths[1:] == [8, 8]
    assert lengths[0] < 8
    assert num_cut == 1
    assert [example["labels"] for example in examples] == [0, 1, 1]


def test_a_pair_is_one_sequence_of_two_segments(tiny_tokenizer):
    (example,), _ = encode(tiny_tokenizer, [["the dog"], ["a cat"]], [0], max_length=16)
    tokens = tiny_tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert " ".join(tokens) == "[CLS] the dog [SEP] a cat [SEP]"
