"""The surprisal of a word after its left context, for models that read both sides.

Shapes: W words, N pieces of one, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwise.errors import InputError
from maskwise.evaluation.cloze import Questions, require_room, sum_log_probabilities
from maskwise.evaluation.sentences import Sentence, encode_sentences
from maskwise.masking.vocabulary import Vocabulary
from maskwise.progress import Progress

NUM_MASKS = 3


def word_surprisal(
    model: Any,
    tokenizer: Any,
    contexts: Sequence[str],
    words: Sequence[str],
    *,
    num_masks: int = NUM_MASKS,
    show: bool = False,
) -> np.ndarray:
    """Returns -log p of each word after its left context, with nothing to its right but masks.

    The text is the context, the pieces of the word before the one asked, and `num_masks` [MASK]; the first of them is
    asked. The probabilities of a word's pieces are multiplied. BabyLM's evaluation pipeline takes the same number for
    words of one piece; for longer ones it glues the decoded pieces to the context without the space between them,
    which makes another word of the context's last, and is not followed here.

    Args:
        model: A masked language model of transformers.
        tokenizer: Its fast tokenizer.
        contexts: What stands to the left of each word, without the space between them; may be empty.
        words: The words.
        num_masks: How many masks stand in for what follows.
        show: Show the progress on stderr.

    Returns:
        float64 [W], in nats.

    Raises:
        InputError: If a word has no token, or a text is longer than the model's positions.

    >>> from maskwise.testing import tiny_model, word_tokenizer
    >>> tokenizer = word_tokenizer("the cat sat")
    >>> surprisals_W = word_surprisal(tiny_model(tokenizer), tokenizer, ["the", "the cat"], ["cat", "sat"])
    >>> surprisals_W.shape, bool((surprisals_W > 0).all())
    ((2,), True)
    """
    if isinstance(contexts, str) or isinstance(words, str) or len(contexts) != len(words):
        raise InputError(
            "contexts and words are two lists of the same length, a context for each word; write "
            "word_surprisal(model, tokenizer, ['the cat'], ['sat'])."
        )
    if num_masks < 1:
        raise InputError(f"num_masks is {num_masks}; the word itself needs one mask.")
    sentences = encode_last_words(tokenizer, contexts, words)
    mask_token_id = Vocabulary.of(tokenizer).mask_token_id
    questions = [
        question
        for owner, sentence in enumerate(sentences)
        for question in _of_each_piece(sentence, owner, mask_token_id, num_masks)
    ]
    require_room(model, tokenizer, [question.input_ids_RT.shape[1] for question in questions])
    questions.sort(key=lambda question: (question.input_ids_RT.shape[1], question.input_ids_RT.tobytes()))
    with Progress("surprisal", len(questions), "pieces", show=show) as progress:
        return -sum_log_probabilities(model, questions, len(sentences), progress)


def encode_last_words(tokenizer: Any, contexts: Sequence[str], words: Sequence[str]) -> list[Sentence]:
    """Returns each context with its word behind it, encoded as one text, of which the word is what is scored."""
    texts = [f"{context} {word}" if context else word for context, word in zip(contexts, words, strict=True)]
    return encode_sentences(tokenizer, texts, [len(text) - len(word) for text, word in zip(texts, words, strict=True)])


def _of_each_piece(sentence: Sentence, owner: int, mask_token_id: int, num_masks: int) -> list[Questions]:
    """Returns a question per piece; whatever the tokenizer puts after a text follows the masks."""
    ids_T, _, scored_N = sentence
    ending = ids_T[scored_N[-1] + 1 :]
    masks = np.full(num_masks, mask_token_id)
    return [
        Questions(
            np.concatenate([ids_T[:place], masks, ending])[None], np.array([place]), ids_T[[place]], np.array([owner])
        )
        for place in scored_N.tolist()
    ]
