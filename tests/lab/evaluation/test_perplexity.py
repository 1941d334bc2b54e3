import json
import pydoc_data.topics

import numpy as np
import pytest

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.lab.evaluation.perplexity import evaluate_perplexity
from maskwise.lab.tokens.blocks import open_data


@pytest.fixture
def text(tmp_path):
    topics = [pydoc_data.topics.topics[name].replace("\n\n", "\n") for name in ("with", "assert", "yield", "lambda")]
    (tmp_path / "text.txt").write_text("\n\n".join(topics), encoding="utf-8")
    return str(tmp_path / "text.txt")


def test_it_is_per_word_of_windows_of_48(text, teacher, tiny_data):
    result = evaluate_perplexity(str(teacher), [text], num_windows=3, token_counts=tiny_data, show=False)
    assert (len(result.items), result.words, result.skipped) == (3, 144, 0)
    assert all(len(window.split()) == 48 for window in result.items["text"])
    from maskwise.models.loading import load_checkpoint, load_tokenizer

    tokenizer = load_tokenizer(str(teacher))
    sums = pseudo_log_likelihood(load_checkpoint(str(teacher), tokenizer), tokenizer, list(result.items["text"])).sums_S
    assert result.perplexity.value == pytest.approx(np.exp(-sums.sum() / 144))
    assert result.perplexity.low < result.perplexity.value < result.perplexity.high
    counts, tokenizer = open_data(tiny_data).token_counts.astype(float), open_data(tiny_data).tokenizer
    counts[tokenizer.all_special_ids] = 0
    ids = np.concatenate(tokenizer(list(result.items["text"]), add_special_tokens=False)["input_ids"]).astype(int)
    log_p = np.log(counts + 1) - np.log((counts + 1).sum())
    assert result.floor == pytest.approx(np.exp(-log_p[ids].sum() / 144))
    assert "unigram floor" in repr(result)
    assert json.loads(result.as_json())["perplexity"]["value"] == result.perplexity.value


def test_windows_that_do_not_fit_are_counted_or_refused(text, tiny_model, tiny_tokenizer):
    with pytest.raises(InputError, match="of them are longer than the model's 64 positions"):
        evaluate_perplexity(tiny_model, [text], tokenizer=tiny_tokenizer, num_windows=4, show=False)


def test_unknown_words_are_counted(tmp_path, tiny_model, tiny_tokenizer):
    (tmp_path / "a.txt").write_text("the 猫 was old and " * 30, encoding="utf-8")
    result = evaluate_perplexity(tiny_model, [str(tmp_path / "a.txt")], tokenizer=tiny_tokenizer, show=False)
    assert result.unknown == sum(text.count("猫") for text in result.items["text"]) > 0
