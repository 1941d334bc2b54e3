"""A text as a masked language model sees it: each token's entropy, and what every strategy would mask.

Shapes: 1 sequence, T positions with the two special tokens, N tokens of the text. Entropy and surprisal are in nats.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.files.path_names import path_text
from maskwise.lab.previews.own_masker import Own, picked_by
from maskwise.lab.previews.page import preview_page
from maskwise.lab.previews.shown_text import SHOWN_STRATEGIES, Piece, ShownText, ShownWindow
from maskwise.lab.text.clean import normalize
from maskwise.lab.text.encodings import BYTE_ORDER_MARK, check_start, decode
from maskwise.lab.text.lines import MAX_LINE_BYTES
from maskwise.lab.tokens.blocks import split_lengths
from maskwise.lab.tokens.tokenizer import block_borders, plain_backend
from maskwise.masking.masker import Masker
from maskwise.masking.noise import Stream, text_positions, uniform_noise
from maskwise.masking.score import Score, uniform
from maskwise.models.loading import load_checkpoint, load_tokenizer
from maskwise.models.model_limits import longest_window
from maskwise.progress import Progress, silent_if_not_shown
from maskwise.scores.model import Entropy, Surprisal

WINDOW = 128
SHOWN_FROM_WINDOWS = 8


class Preview(ShownText):
    """What `preview` returns; a notebook shows it as its page."""

    def __repr__(self) -> str:
        words = "".join(piece.before + piece.text for piece in self.windows[0].pieces[:12]).strip()
        return f"Preview({words!r} ..., {self.num_tokens:,} tokens by {self.checkpoint!r}, rate {self.rate:g})"

    def _repr_html_(self) -> str:
        frame = "width: 100%; height: 44rem; border: 0"
        return f'<iframe srcdoc="{escape(preview_page(self))}" style="{frame}" title="maskwise preview"></iframe>'


@silent_if_not_shown
def preview(
    text: str,
    checkpoint: str | PathLike[str],
    *,
    recipe: str | Path | None = None,
    score: str | Score | type | None = None,
    score_arguments: Mapping[str, Any] | None = None,
    rate: float | None = None,
    folds: int | None = None,
    window: int | None = None,
    show: bool = True,
) -> Preview:
    """Scores each token of a text by a checkpoint, and finds what each strategy would mask of it.

    A text longer than `window` tokens is cut into windows, and each is scored and masked on its own, as in training. A
    longer window gives more context, if the model was trained on such blocks. The picks are those of `Masker` at seed 0
    and epoch 0, token by token. In a notebook the result shows itself as a page.

    Args:
        text: The text.
        checkpoint: A run folder, a checkpoint or a hub name.
        recipe: A recipe to show next to the strategies: its name, or the path of your own .toml file. A teacher in it
            is the checkpoint.
        score: Your own score instead: a function, a class or object of scores, or `package.module:name` or
            `path/to/file.py:name`.
        score_arguments: Keyword arguments of the score.
        rate: The share of tokens that is masked; by default the recipe's, else 0.15.
        folds: None scores the text unmasked; K scores each token masked, in K passes.
        window: Tokens scored together, special ones included; by default 128, the block of `prepare`.
        show: Whether to show progress of a long text.

    Returns:
        Entropy and surprisal (nats) of each token, and the picks of each strategy.

    Raises:
        InputError: For a text without a maskable token, a rate outside (0, 1), fewer than 2 folds, a window that the
            model does not have, an unknown recipe, a score that cannot be made, and a checkpoint without tokenizer,
            mask token or masked-LM head.

    Example:
        ```python
        from maskwise.lab import preview

        preview("The river Thames rises in the hills.", "run", recipe="whole-word")
        ```
    """
    if not isinstance(text, str):
        raise InputError(f"A preview is of one text; found {type(text).__name__}. Write preview('a text', checkpoint).")
    own = Own(recipe, score, score_arguments, rate).check()
    return _preview(text, path_text(checkpoint, "checkpoint"), own, folds, window, show)


def _preview(text: str, checkpoint: str, own: Own, folds: int | None, window: int | None, show: bool) -> Preview:
    text = normalize(text)
    if not text.strip():
        raise InputError("There is no text to preview: it is empty. Give some words, or - to read them from stdin.")
    tokenizer = load_tokenizer(checkpoint)
    evaluator = _Evaluator(tokenizer, own, folds)
    pieces, after = pieces_of(text, tokenizer)
    if not any(evaluator.may_mask(piece) for piece in pieces):
        raise InputError(f"The text has no token that may be masked: {checkpoint} reads nothing in it.")
    model = load_checkpoint(checkpoint, tokenizer)
    size = _checked_window(window, longest_window(model, tokenizer))
    evaluator.bind(model)
    windows = tuple(_windows(pieces, evaluator, size, show))
    return Preview(checkpoint, own.shown_rate(), folds, windows, after, own.name)


def text_or_stdin(text: str) -> str:
    """Returns the text of a command line itself, or what comes from stdin for "-".

    Raises:
        InputError: If the text is not UTF-8, or stdin gives more than 64 MiB.
    """
    is_stdin = text == "-"
    # Python puts half a surrogate pair for each byte of a command line that is not UTF-8.
    data = sys.stdin.buffer.read(MAX_LINE_BYTES + 1) if is_stdin else text.encode("utf-8", "surrogateescape")
    if len(data) > MAX_LINE_BYTES:
        raise InputError(f"The text on stdin is longer than {MAX_LINE_BYTES >> 20} MiB. Give a part of it.")
    source = f"The text on {'stdin' if is_stdin else 'the command line'}"
    check_start(data, source)
    return decode(data.removeprefix(BYTE_ORDER_MARK), source, 0)


def pieces_of(text: str, tokenizer: Any) -> tuple[list[Piece], str]:
    """Returns the tokens of a text and the text behind the last one; "[MASK]" in a text is read as text.

    Put together, `before` and `text` of all of them give the source text, whatever the tokenizer's normalisation.
    """
    encoding = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    pieces, end, word_in_front = [], 0, None
    for token_id, name, word, (start, stop) in zip(
        encoding.ids, encoding.tokens, encoding.word_ids, encoding.offsets, strict=True
    ):
        start = max(start, end)
        covered = text[start:stop]
        if covered.strip():  # byte-level tokens carry the space in front of their word
            start += len(covered) - len(covered.lstrip())
        stop = max(start, stop)
        continues = word is not None and word == word_in_front and start == end
        pieces.append(Piece(token_id, text[end:start], text[start:stop], continues, name))
        end, word_in_front = stop, word
    return pieces, text[end:]


def _checked_window(window: int | None, longest: int) -> int:
    if window is None:
        return min(WINDOW, longest)
    if not 3 <= window <= longest:
        raise InputError(
            f"A window of this model has 3 to {longest:,} tokens, special tokens included; found {window:,}."
        )
    return window


def _windows(pieces: Sequence[Piece], evaluator: _Evaluator, size: int, show: bool) -> Iterator[ShownWindow]:
    lengths = split_lengths(np.array([len(pieces)]), size - 2).tolist()
    start = 0
    with Progress("preview", len(lengths), "windows", show=show and len(lengths) >= SHOWN_FROM_WINDOWS) as progress:
        for length in lengths:
            yield evaluator.window(tuple(pieces[start : start + length]))
            start += length
            progress.advance()


class _Evaluator:
    """One masker a strategy, all with the same entropy; what can be refused is refused before a model is loaded."""

    def __init__(self, tokenizer: Any, own: Own, folds: int | None) -> None:
        self.tokenizer, self.own, rate = tokenizer, own, own.shown_rate()
        # A text is short, and compiling takes longer than its sums.
        self.entropy, self.surprisal = Entropy(folds=folds, compiled=False), Surprisal(folds=folds, compiled=False)
        by_entropy = [strategy for strategy in SHOWN_STRATEGIES if strategy != "random"]
        self.maskers = {pick: Masker(self.entropy, tokenizer, pick=pick, rate=rate) for pick in by_entropy}
        self.random = Masker(uniform, tokenizer, rate=rate)
        self.borders = block_borders(tokenizer)

    def bind(self, model: nn.Module) -> None:
        self.entropy.bind(model)
        self.surprisal.bind(model)
        self.own_masker = self.own.masker(self.tokenizer, model)

    def may_mask(self, piece: Piece) -> bool:
        return bool(self.random.vocabulary.eligible_V[piece.token_id])

    def window(self, pieces: tuple[Piece, ...]) -> ShownWindow:
        first, last = self.borders
        input_ids_1T = torch.tensor([[first, *(piece.token_id for piece in pieces), last]])
        batch = self.random.prepare({"input_ids": input_ids_1T})
        entropy_1T = self.maskers["high"].scores(batch)
        noise_1T = uniform_noise(self.random.seed, 0, batch["example_id"], text_positions(batch), Stream.PICK)
        picks = {strategy: masker.choose(batch, entropy_1T)[0] for strategy, masker in self.maskers.items()}
        picks["random"] = self.random.choose(batch, uniform(batch))[0]
        if self.own_masker is not None:
            picks[self.own.name] = picked_by(self.own_masker, input_ids_1T, pieces)
        return ShownWindow(
            pieces,
            may_mask_N=_of_text(batch["eligible"]),
            entropy_N=_of_text(entropy_1T),
            surprisal_N=_of_text(self.surprisal(batch)),
            noise_N=_of_text(noise_1T),
            picks={strategy: _of_text(picked_1T) for strategy, picked_1T in picks.items()},
        )


def _of_text(values_1T: Tensor) -> Tensor:
    """Leaves the two special tokens out."""
    return values_1T[0, 1:-1]
