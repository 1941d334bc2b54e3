"""The recipe or the score that a preview shows next to the strategies.

Shapes: 1 sequence, T positions with the two special tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.lab.previews.shown_text import SHOWN_STRATEGIES, Piece
from maskwise.masking.masker import Masker
from maskwise.masking.named_score import import_score, make_score
from maskwise.masking.score import Score, StatefulScore
from maskwise.recipes import load_recipe
from maskwise.recipes.masking_keys import score_text
from maskwise.scores.model import ModelScore

RATE = 0.15


class Own(NamedTuple):
    """What was asked for: a recipe, or a score with its arguments; `rate` is None if it was not given."""

    recipe: str | Path | None
    score: str | Score | type | None
    score_arguments: Mapping[str, Any] | None
    rate: float | None

    def check(self) -> Own:
        """Returns it again, with the score imported; raises InputError for what cannot be shown."""
        if self.recipe is not None and self.score is not None:
            raise InputError("A preview shows a recipe or a score of your own, not both: leave one out.")
        if self.score is None and self.score_arguments:
            raise InputError("Arguments of a score need the score: give --score module:function too.")
        if self.recipe is not None:
            load_recipe(self.recipe)
        return self._replace(score=import_score(self.score)) if isinstance(self.score, str) else self

    @property
    def name(self) -> str:
        """How it is called in the preview; empty if there is none."""
        if self.score is not None:
            return score_text(self.score).rpartition(":")[2]
        if self.recipe is None:
            return ""
        name = Path(self.recipe).stem if str(self.recipe).endswith(".toml") else str(self.recipe)
        return f"recipe {name}" if name in SHOWN_STRATEGIES else name

    def shown_rate(self) -> float:
        """Returns the rate of the whole preview: the one given, that of the recipe if it is a constant, or 0.15."""
        if self.rate is not None:
            return self.rate
        rate = load_recipe(self.recipe).get("masking", {}).get("rate") if self.recipe is not None else None
        return rate if isinstance(rate, float) else RATE

    def masker(self, tokenizer: Any, model: nn.Module) -> Masker | None:
        """Returns its masker, in which `model` is the model in training and, as a copy, the teacher too."""
        if not self.name:
            return None
        teacher = deepcopy(model)
        if self.recipe is not None:
            overrides = {} if self.rate is None else {"rate": self.rate}
            made = Masker.from_recipe(self.recipe, tokenizer, teacher=teacher, **overrides)
        else:
            score = make_score(self.score, self.score_arguments, tokenizer=tokenizer, teacher=teacher)  # type: ignore[arg-type]
            made = Masker(score, tokenizer, rate=self.shown_rate())
        for part in made.scores_inside:
            if isinstance(part, ModelScore) and not isinstance(self.score, StatefulScore):
                part.compiled = False  # a text is short, and compiling takes longer than its sums
            part.bind(model, tokenizer)
        return made


def picked_by(masker: Masker, input_ids_1T: Tensor, pieces: Sequence[Piece]) -> Tensor:
    """Returns which positions [1, T] a masker picks at seed 0 and epoch 0."""
    word_ids, word = [], -1
    for piece in pieces:
        word += not piece.continues
        word_ids.append(word)
    word_ids_1T = torch.tensor([[-1, *word_ids, -1]])
    batch = masker.prepare({"input_ids": input_ids_1T, "word_ids": word_ids_1T})
    return masker.choose(batch, masker.scores(batch))[0]
