"""One masked batch: score, unit, pick, rate and corruption put together.

Shapes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking import noise
from maskwise.masking.budgets import mean_budget, token_budget
from maskwise.masking.columns import (
    check_has_columns,
    check_no_added_keys,
    checked_model_inputs,
    declared_columns,
    model_inputs,
)
from maskwise.masking.corrupt import IGNORE, Corrupted, corrupt, corruption_shares
from maskwise.masking.noise import Stream
from maskwise.masking.own_results import checked_scores
from maskwise.masking.pick import check_strategy, pick, pick_independently, proportional_probabilities
from maskwise.masking.rates import (
    ONE_UNIT_RATE,
    RateSchedule,
    constant,
    is_constant,
    rate_at,
)
from maskwise.masking.recipe_arguments import masker_arguments
from maskwise.masking.row_notes import check_feedback
from maskwise.masking.rows import Rows, sync_stalls
from maskwise.masking.score import Score, StatefulScore, all_scores, as_score
from maskwise.masking.score_context import TrainState
from maskwise.masking.unit_rule import UnitFunction, UnitRule
from maskwise.masking.units import MAX_WORD_PIECES, Spans, Units
from maskwise.masking.vocabulary import Vocabulary, as_tokenizer
from maskwise.recipes import load_recipe
from maskwise.recipes.masking_keys import UNITS, change_masking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["BUDGETS", "UNITS", "Masker"]

BUDGETS = ("exact", "bernoulli", "from-scores")


class Masker:
    """Masks batches: any score x unit x pick x rate x corruption.

    The mask of an example depends on (`seed`, epoch, example id) and on the scores.

    Args:
        score: `score(batch) -> [B, T]` says how much each token is worth masking: -inf never masks it, inf always. It
            sees the batch with more keys: `eligible` [B, T], `state` (a `TrainState`), `rate`, `example_id` [B] and
            `mask_token_id`.
        tokenizer: Whose ids the batches hold.
        unit: `token`, `word`, `span`, `Spans(...)`, or your own function of the batch: see `UnitRule`.
        pick: See `maskwise.pick`, or `alternating` (a fair coin per step between high and low); by default the score's
            own (`high` for entropy and surprisal, else `sample`).
        rate: A share, or a schedule from `maskwise.masking.rates`.
        budget: `exact` (per sequence k tokens, or as many units as have the rate on average: see `pick`; at least one),
            `bernoulli` (each unit on its own) or `from-scores` (the score is the probability of being masked, and meets
            the rate by itself). The last two have no floor: a sequence may get no label.
        corruption: Shares of the picked units that become [MASK], become random tokens, or stay as they are.
        sharpness: The power of the scores in `sample`.
        columns: Columns of the rows that the score or the unit reads. They are padded, and the model does not get them.
        model_inputs: The columns that the model gets besides `input_ids` and `attention_mask`; default: all that are
            not declared.
        max_word_pieces: A word of more pieces is masked piece by piece; None: no limit.
        mask_special_tokens: Masks [CLS] and [SEP] too, as Typhoon's code of 2023 did in its random baseline: easy
            targets, which nobody else should want.
        seed: Of the masks.

    Raises:
        InputError: For a tokenizer without mask token, an unknown name, a rate outside (0, 1), one unit a sequence
            spent otherwise than exactly, shares that do not add to 1, a column whose name is taken, words that the
            tokenizer does not tell apart, and later for what a score returns if it is not one number per token.

    >>> import torch
    >>> from maskwise import uniform
    >>> from maskwise.testing import word_tokenizer
    >>> masker = Masker(uniform, word_tokenizer("a b c"), rate=0.3)
    >>> batch = masker({"input_ids": torch.tensor([[2, 5, 6, 7, 3]])})
    >>> int((batch["labels"] != -100).sum())
    1
    """

    def __init__(
        self,
        score: Score,
        tokenizer: PreTrainedTokenizerBase | str | Path | None = None,
        *,
        unit: str | Spans | UnitFunction = "token",
        pick: str | None = None,
        rate: float | RateSchedule = 0.15,
        budget: str = "exact",
        corruption: tuple[float, float, float] = (1.0, 0.0, 0.0),
        sharpness: float = 1.0,
        columns: Sequence[str] = (),
        model_inputs: Sequence[str] | None = None,
        max_word_pieces: int | None = MAX_WORD_PIECES,
        mask_special_tokens: bool = False,
        seed: int = 0,
    ) -> None:
        _check_name("budget", budget, BUDGETS)
        self.score = as_score(score)
        pick = pick or self.score.default_pick
        if pick != "alternating":
            check_strategy(pick)
        if budget != "exact" and pick != "sample":
            raise InputError(
                f"budget={budget!r} draws each unit on its own, so it needs pick='sample'; found {pick!r}."
            )
        self.tokenizer = as_tokenizer(tokenizer)
        self.unit_rule = UnitRule(unit, self.tokenizer, max_word_pieces)
        if not isinstance(sharpness, int | float):
            raise InputError(f"sharpness is the power of the scores, a number; found {sharpness!r}. Write sharpness=2.")
        self.unit, self.pick, self.budget, self.sharpness = unit, pick, budget, sharpness
        self.columns = declared_columns(columns, [*self.scores_inside, self.unit_rule])
        self.model_inputs = checked_model_inputs(model_inputs, self.columns)
        self.rate: RateSchedule = rate if callable(rate) else constant(rate)
        self.rate_at(0.0)
        self.corruption = corruption_shares(corruption)
        self.seed = _checked_seed(seed)
        self.vocabulary = Vocabulary.of(self.tokenizer, with_special_tokens=mask_special_tokens)

    @classmethod
    def from_recipe(
        cls,
        name: str | Path,
        tokenizer: PreTrainedTokenizerBase | str | Path,
        *,
        teacher: Any = None,
        token_counts: Any = None,
        **overrides: Any,
    ) -> Masker:
        """Returns the masker that a recipe describes. Its `[distillation]`, if it has one, is for the trainer.

        Args:
            name: A recipe's name, such as "whole-word", or the path of your own .toml file.
            tokenizer: The tokenizer, or its name or folder.
            teacher: For recipes that score with one: a masked language model with this tokenizer, or its
                `Stored(folder)`. Others leave it alone.
            token_counts: For Typhoon, int [V]: how often each id occurs in the training text, `count_tokens(rows,
                tokenizer)`. Others leave it alone.
            **overrides: Keys of the recipe's `[masking]` table to change, such as `rate=0.3`, and other arguments of
                `Masker`, such as `seed=1`.

        Returns:
            A masker.

        Raises:
            InputError: For an unknown recipe or key, and if the recipe's score needs a teacher or token counts.

        >>> from maskwise.testing import word_tokenizer
        >>> Masker.from_recipe("whole-word", word_tokenizer("a b c"), rate=0.3)
        Masker(uniform, unit='word', pick='sample', rate=0.3, budget='exact', corruption=(0.8, 0.1, 0.1), seed=0)
        """
        masking = change_masking(load_recipe(name).get("masking", {}), overrides)
        tokenizer = as_tokenizer(tokenizer)
        supplied = {"tokenizer": tokenizer, "teacher": teacher, "token_counts": token_counts}
        try:
            return cls(tokenizer=tokenizer, **masker_arguments(masking, inspect.signature(cls).parameters, **supplied))
        except InputError as error:
            raise InputError(f"The recipe {str(name)!r}: {error}") from None

    @property
    def feedback(self) -> frozenset[str]:
        """What its scores ask for when they learn from labelled rows; raises InputError for what there is not."""
        for score in self.scores_inside:
            check_feedback(score.feedback, score.name)
        return frozenset().union(*(score.feedback for score in self.scores_inside))

    @property
    def scores_inside(self) -> list[StatefulScore]:
        """The score and those inside it, outermost first: everything that has hooks."""
        return list(all_scores(self.score))

    def __call__(self, batch: Mapping[str, Any], state: TrainState = TrainState()) -> dict[str, Tensor]:
        """Returns the model's inputs with `input_ids` corrupted and `labels` made; `batch` stays as it is."""
        return self.mask(self.prepare(batch, state))

    def mask(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns what `__call__` does, for a batch that `prepare` made."""
        picked_BT, units = self.choose(batch, self.scores(batch))
        corrupted = self._corrupt(batch, picked_BT, units)
        inputs = model_inputs(batch, self.columns, self.model_inputs)
        return inputs | {"input_ids": corrupted.input_ids_BT, "labels": corrupted.labels_BT}

    def prepare(self, batch: Mapping[str, Any], state: TrainState = TrainState()) -> dict[str, Any]:
        """Returns the batch as a score sees it: with `eligible`, `state`, `rate` and an `example_id`.

        Raises InputError for a batch that is not one of tensors, has ids that the tokenizer has not, lacks a declared
        column, or has a key of these names.
        """
        _check_batch(batch)
        check_no_added_keys(batch, "The batch has the key")
        check_has_columns(batch, self.columns, f"Masker(columns={self.columns})")
        input_ids_BT, eligible_BT = batch["input_ids"], self.eligible(batch)
        example_ids_B = batch.get("example_id")
        if example_ids_B is None:
            is_text_BT = batch.get("attention_mask", torch.ones_like(input_ids_BT)).bool()
            example_ids_B = noise.content_ids(input_ids_BT, noise.text_positions(batch), is_text_BT)
        added = {"eligible": eligible_BT, "state": state, "example_id": example_ids_B}
        added |= {"rate": self.rate_at(state.progress), "mask_token_id": self.vocabulary.mask_token_id}
        return dict(batch) | added

    def eligible(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns True [B, T] where a token may be masked."""
        input_ids_BT = batch["input_ids"]
        if self.vocabulary.eligible_V.device != input_ids_BT.device:
            self.vocabulary = self.vocabulary.to(input_ids_BT.device)
        try:
            ids = input_ids_BT.flatten().long()
            eligible_BT = self.vocabulary.eligible_V.index_select(0, ids).view(input_ids_BT.shape)
        except (IndexError, RuntimeError):  # on a CPU; a GPU stops by itself, and later
            _check_ids(input_ids_BT, len(self.vocabulary.eligible_V))
            raise
        return eligible_BT & batch["attention_mask"].bool() if "attention_mask" in batch else eligible_BT

    def scores(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the checked scores [B, T] of a prepared batch; raises InputError as `checked_scores` does."""
        return checked_scores(self.score(batch), self.score.name, batch["eligible"], batch["example_id"])

    def choose(self, batch: Mapping[str, Any], scores_BT: Tensor) -> tuple[Tensor, Units]:
        """Returns True [B, T] at the tokens to mask, and the units they were chosen by."""
        state: TrainState = batch["state"]
        units = self._units(batch)
        noise_BT = self._noise(batch, Stream.PICK)
        rate = self.rate_at(state.progress)
        if self.budget == "from-scores":
            return pick_independently(scores_BT, units, noise_BT), units
        if self.budget == "bernoulli":
            probabilities_BT = proportional_probabilities(scores_BT, units, rate, self.sharpness)
            return pick_independently(probabilities_BT, units, noise_BT), units
        strategy = self.pick
        if strategy == "alternating":
            strategy = "high" if noise.coin(self.seed, state.step) else "low"
        num_eligible_B = (units.atoms_BT >= 0).sum(dim=-1)
        if self.unit_rule.is_token:
            budget_B = token_budget(num_eligible_B, rate)
            return pick(scores_BT, units, budget_B, noise_BT, strategy, self.sharpness), units
        rounding_B2 = self._noise(batch, Stream.ROUNDING, torch.arange(2, device=noise_BT.device))
        budget_B = mean_budget(num_eligible_B, rate)
        return pick(scores_BT, units, budget_B, noise_BT, strategy, self.sharpness, rounding_B2=rounding_B2), units

    def most_masked(self, length: int, state: TrainState) -> int | None:
        """Returns how many tokens of a sequence of this length are masked at most; None if chance decides."""
        if self.budget != "exact" or not self.unit_rule.is_token:
            return None
        return int(token_budget(torch.tensor(length), self.rate_at(state.progress)))

    def rows(self, labels_BT: Tensor, state: TrainState) -> Rows:
        """Returns the rows that it labelled: where known, as many as there can be, which saves a GPU a wait."""
        most = self.most_masked(labels_BT.shape[1], state) if sync_stalls(labels_BT.device) else None
        return Rows.of(labels_BT != IGNORE, None if most is None else len(labels_BT) * most)

    def rate_at(self, progress: float) -> float:
        """Returns the budget as a share of the eligible tokens, after a share of the run (0 is one token a row)."""
        rate = rate_at(self.rate, progress)
        if rate == ONE_UNIT_RATE and self.budget != "exact":
            raise InputError(
                f"One token a sequence is an exact budget, and budget={self.budget!r} draws each unit on its own: at "
                "rate 0 nothing would be masked. Use budget='exact', or a rate above 0."
            )
        return rate

    def __repr__(self) -> str:
        start, end = self.rate_at(0.0), self.rate_at(1.0)
        unit = self.unit_rule.name if callable(self.unit) else self.unit
        settings = {"unit": unit, "pick": self.pick, "rate": start, "budget": self.budget}
        settings |= {"corruption": tuple(self.corruption), "seed": self.seed}
        text = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        return f"Masker({self.score!r}, {text})" if start == end else f"Masker({self.score!r}, {text}, end_rate={end})"

    @property
    def needs_progress(self) -> bool:
        """Whether masks depend on the progress of the run or on the step, besides the epoch."""
        return self.pick == "alternating" or not is_constant(self.rate)

    def _units(self, batch: Mapping[str, Any]) -> Units:
        places_T = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
        return self.unit_rule(batch, lambda: self._noise(batch, Stream.SPAN_LENGTH, places_T))

    def _corrupt(self, batch: Mapping[str, Any], picked_BT: Tensor, units: Units) -> Corrupted:
        if self.corruption.mask >= 1:
            return corrupt(batch["input_ids"], picked_BT, mask_token_id=self.vocabulary.mask_token_id)
        fate_ids_BT = self.unit_rule.fate_ids(units).clamp_min(0)
        action_noise_BT = self._noise(batch, Stream.ACTION).gather(-1, fate_ids_BT)
        return corrupt(
            batch["input_ids"],
            picked_BT,
            mask_token_id=self.vocabulary.mask_token_id,
            shares=self.corruption,
            ordinary_ids_N=self.vocabulary.ordinary_ids_N,
            action_noise_BT=action_noise_BT,
            replacement_noise_BT=self._noise(batch, Stream.REPLACEMENT),
        )

    def _noise(self, batch: Mapping[str, Any], stream: Stream, positions_BT: Tensor | None = None) -> Tensor:
        positions_BT = noise.text_positions(batch) if positions_BT is None else positions_BT
        return noise.uniform_noise(self.seed, batch["state"].epoch, batch["example_id"], positions_BT, stream)


def _check_batch(batch: Any) -> None:
    input_ids_BT = batch.get("input_ids") if isinstance(batch, Mapping) else None
    if not isinstance(input_ids_BT, Tensor) or input_ids_BT.ndim != 2 or input_ids_BT.is_floating_point():
        found = type(batch).__name__ if not isinstance(batch, Mapping) else ", ".join(map(str, batch))
        if isinstance(input_ids_BT, Tensor):
            found = f"input_ids of shape {tuple(input_ids_BT.shape)} and type {input_ids_BT.dtype}"
        raise InputError(
            f"A Masker takes a batch with input_ids, a tensor of whole numbers [B, T]; found {found}. Rows are made "
            "into one by MaskingCollator(masker)(rows), text by tokenizer(texts, padding=True, return_tensors='pt')."
        )


def _check_ids(input_ids_BT: Tensor, size: int) -> None:
    """Raises InputError for ids that the tokenizer does not have."""
    if input_ids_BT.numel() == 0:
        return
    lowest, highest = (int(limit) for limit in input_ids_BT.aminmax())
    if lowest < 0 or highest >= size:
        raise InputError(
            f"The batch has the id {lowest if lowest < 0 else highest}, and the tokenizer's ids are 0 to {size - 1}. "
            "It was made with another tokenizer, or holds labels."
        )


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"The seed of the masks is a whole number; found {seed!r}. Write seed=1.")
    return int(seed)


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"No {what} {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
