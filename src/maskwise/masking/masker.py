"""One masked batch: score, unit, pick, rate and corruption put together.

Shapes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking import noise
from maskwise.masking.corrupt import IGNORE, Corrupted, Corruption, corrupt
from maskwise.masking.noise import Stream
from maskwise.masking.pick import check_strategy, pick, pick_independently, proportional_probabilities
from maskwise.masking.rates import ONE_UNIT_RATE, RateSchedule, constant, mean_budget, rate_at, token_budget
from maskwise.masking.recipe_arguments import masker_arguments
from maskwise.masking.rows import Rows, sync_stalls
from maskwise.masking.score import Score, StatefulScore, all_scores, as_score
from maskwise.masking.score_context import TrainState
from maskwise.masking.units import Units, span_units, token_units, word_units
from maskwise.masking.vocabulary import Vocabulary, as_tokenizer
from maskwise.masking.word_marks import checked_word_marks
from maskwise.recipes import load_recipe
from maskwise.recipes.masking_keys import change_masking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNITS = ("token", "word", "span")
BUDGETS = ("exact", "bernoulli", "from-scores")
NOT_FOR_THE_MODEL = frozenset(
    {"word_ids", "example_id", "eligible", "state", "rate", "mask_token_id", "special_tokens_mask", "offset_mapping"}
)


class Masker:
    """Masks batches: any score x unit x pick x rate x corruption.

    `score(batch) -> [B, T]` says how much each token is worth masking; it sees the batch with more keys: `eligible`
    [B, T], `state` (a `TrainState`), `rate`, `example_id` [B] and `mask_token_id`. `unit`: token, word or span.
    `pick`: see `maskwise.pick`, or `alternating` (a fair coin per step between high and low); by default the score's
    own (`high` for entropy and surprisal, else `sample`). `rate`: a share, or a
    schedule from `maskwise.masking.rates`. `budget`: `exact` (k tokens a sequence), `bernoulli` (each unit on its
    own) or `from-scores` (the score is the probability of being masked, and meets the rate by itself). The mask of an
    example depends on (`seed`, epoch, example id) and on the scores. `mask_special_tokens` masks [CLS] and [SEP] too,
    as Typhoon's code of 2023 did in its random baseline: easy targets, which nobody else should want.

    Raises InputError for a tokenizer without mask token, an unknown name, a rate outside (0, 1), one token a sequence
    spent otherwise than exactly, shares that do not add to 1, and for scores that are not finite, with the row.
    """

    def __init__(
        self,
        score: Score,
        tokenizer: PreTrainedTokenizerBase | str | Path,
        *,
        unit: str = "token",
        pick: str | None = None,
        rate: float | RateSchedule = 0.15,
        budget: str = "exact",
        corruption: tuple[float, float, float] = (1.0, 0.0, 0.0),
        sharpness: float = 1.0,
        mask_special_tokens: bool = False,
        seed: int = 0,
    ) -> None:
        _check_name("unit", unit, UNITS)
        _check_name("budget", budget, BUDGETS)
        self.score = as_score(score)
        pick = pick or self.score.default_pick
        if pick != "alternating":
            check_strategy(pick)
        if budget != "exact" and pick != "sample":
            raise InputError(
                f"budget={budget!r} draws each unit on its own, so it needs pick='sample'; found {pick!r}."
            )
        self.unit, self.pick, self.budget, self.sharpness = unit, pick, budget, sharpness
        self.rate: RateSchedule = rate if callable(rate) else constant(rate)
        self.rate_at(0.0)
        self.corruption = Corruption(*corruption).check()
        self.seed = seed
        self.tokenizer = as_tokenizer(tokenizer)
        self.vocabulary = Vocabulary.of(self.tokenizer, with_special_tokens=mask_special_tokens)
        self._word_marks = None if unit == "token" else checked_word_marks(self.tokenizer)

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
    def scores_inside(self) -> list[StatefulScore]:
        """The score and those inside it, outermost first: everything that has hooks."""
        return list(all_scores(self.score))

    def __call__(self, batch: Mapping[str, Any], state: TrainState = TrainState()) -> dict[str, Tensor]:
        """Returns the model's inputs with `input_ids` corrupted and `labels` made; `batch` stays as it is."""
        batch = self.prepare(batch, state)
        picked_BT, units = self.choose(batch, self.scores(batch))
        corrupted = self._corrupt(batch, picked_BT, units)
        inputs = {key: value for key, value in batch.items() if key not in NOT_FOR_THE_MODEL}
        return inputs | {"input_ids": corrupted.input_ids_BT, "labels": corrupted.labels_BT}

    def prepare(self, batch: Mapping[str, Any], state: TrainState = TrainState()) -> dict[str, Any]:
        """Returns the batch as a score sees it: with `eligible`, `state`, `rate` and an `example_id`."""
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
        eligible_BT = self.vocabulary.eligible_V[input_ids_BT]
        return eligible_BT & batch["attention_mask"].bool() if "attention_mask" in batch else eligible_BT

    def scores(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the checked scores [B, T] of a prepared batch; raises InputError naming a row that is not finite."""
        scores_BT = self.score(batch)
        eligible_BT = batch["eligible"]
        if scores_BT.shape != eligible_BT.shape:
            raise InputError(
                f"A score returns one number a token, shape {tuple(eligible_BT.shape)}; "
                f"{_name(self.score)} returned shape {tuple(scores_BT.shape)}."
            )
        _check_finite(scores_BT, eligible_BT, batch["example_id"], self.score)
        return scores_BT.float()

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
        if self.unit == "token":
            budget_B = token_budget(num_eligible_B, rate)
            return pick(scores_BT, units, budget_B, noise_BT, strategy, self.sharpness), units
        rounding_B2 = self._noise(batch, Stream.ROUNDING, torch.arange(2, device=noise_BT.device))
        budget_B = mean_budget(num_eligible_B, rate)
        return pick(scores_BT, units, budget_B, noise_BT, strategy, self.sharpness, rounding_B2=rounding_B2), units

    def most_masked(self, length: int, state: TrainState) -> int | None:
        """Returns how many tokens of a sequence of this length are masked at most; None where chance decides."""
        if self.budget != "exact" or self.unit != "token":
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
        settings = {"unit": self.unit, "pick": self.pick, "rate": start, "budget": self.budget}
        settings |= {"corruption": tuple(self.corruption), "seed": self.seed}
        text = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        return f"Masker({self.score!r}, {text})" if start == end else f"Masker({self.score!r}, {text}, end_rate={end})"

    def _units(self, batch: Mapping[str, Any]) -> Units:
        if self.unit == "token":
            return token_units(batch["eligible"])
        if "word_ids" not in batch:
            raise InputError(
                f"unit={self.unit!r} needs a `word_ids` column (-1 at special tokens); found {', '.join(batch)}. "
                "`maskwise prepare` stores it; in your own script take it from tokenize_rows(texts, tokenizer) or "
                "encoding.word_ids()."
            )
        word_ids_BT, begins_BT = batch["word_ids"].to(torch.int64), None
        if self._word_marks is not None:
            self._word_marks = self._word_marks.to_tensors(word_ids_BT.device)
            begins_BT = self._word_marks.starts(batch["input_ids"])
        words = word_units(word_ids_BT, batch["eligible"], begins_BT=begins_BT)
        if self.unit == "word":
            return words
        span_numbers_BT = torch.arange(words.atoms_BT.shape[1], device=words.atoms_BT.device).expand_as(words.atoms_BT)
        return span_units(words, self._noise(batch, Stream.SPAN_LENGTH, span_numbers_BT))

    def _corrupt(self, batch: Mapping[str, Any], picked_BT: Tensor, units: Units) -> Corrupted:
        if self.corruption.mask >= 1:
            return corrupt(batch["input_ids"], picked_BT, mask_token_id=self.vocabulary.mask_token_id)
        action_noise_BT = self._noise(batch, Stream.ACTION).gather(-1, units.groups_BT.clamp_min(0))
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


def _check_finite(scores_BT: Tensor, eligible_BT: Tensor, example_ids_B: Tensor, score: StatefulScore) -> None:
    bad_B = (~torch.isfinite(scores_BT) & eligible_BT).any(dim=-1)
    if sync_stalls(bad_B.device) and bad_B.device.type != "mps":  # which has no check that the host need not wait for
        torch._assert_async(~bad_B.any(), "a score is not finite")
    elif bad_B.any():
        row = int(bad_B.nonzero()[0])
        bad = scores_BT[row][~torch.isfinite(scores_BT[row]) & eligible_BT[row]][0].item()
        raise InputError(
            f"{_name(score)} gave {bad} in row {row} of the batch (example {int(example_ids_B[row])}). "
            "Scores must be finite at every token that may be masked."
        )


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"No {what} {name!r}; there are {', '.join(known)}.{nearest(name, known)}")


def _name(score: StatefulScore) -> str:
    return f"The score {score.name!r}"
