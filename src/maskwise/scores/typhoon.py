"""Typhoon: each token type is masked at a rate that follows how much it matters to the loss.

Shapes: B sequences, T positions, D width of the embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maskwise.errors import InputError, nearest
from maskwise.masking.calibrate import affine_2023, check_calibration, water_filling
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.saliency import (
    UNSEEN,
    TypeSums,
    check_aggregate,
    fill_unseen,
    position_saliency,
    smooth,
    sum_by_type,
)
from maskwise.masking.score import StatefulScore
from maskwise.masking.score_context import ScoreContext
from maskwise.masking.vocabulary import Vocabulary, as_tokenizer
from maskwise.models.embedding import EmbeddingTap

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class SaliencyTable(StatefulScore):
    """A score: each token's probability of being masked, from a moving average of its type's saliency.

    The expected share of masked tokens, sum_t f_t r_t, is the masker's rate, with f_t the type's share of
    `token_counts` [V]: how often each id occurs in the training text (special tokens are left out). Use it with
    `Masker(score, tokenizer, budget="from-scores")`; before anything was observed, every type has the masker's rate.

    - `aggregate`: `abs` or `signed-2023` (`masking.saliency.sum_by_type`).
    - `ema`: the weight of the newest step, for the types in it (0.8 in 2023: mostly the noise of that one step).
      `ema_start`: a type's average starts at its first mean (`first-visit`), or, as in 2023, at 0 for all that the
      first step did not have (`zero`).
    - `unseen`: types not seen yet get the `mean` of the others by share of text, or, as in 2023, their `max`.
    - `calibration`: `water-filling` (with `cap`, the highest rate, and `temperature`) or `affine-2023` (with `spread`,
      and `cap` as a limit that is an error to exceed).
    - `count_special_tokens`: [CLS] and [SEP] take a share of the budget although they are never masked, as in 2023:
      the realised rate is then below the budget.

    Source: Typhoon (arXiv 2303.15619). Raises InputError for unknown names, numbers out of range, `signed-2023` under
    water-filling, which has no place for negative scores, and counts of nothing that may be masked.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | str | Path,
        token_counts: Any,
        *,
        aggregate: str = "abs",
        ema: float = 0.1,
        ema_start: str = "first-visit",
        unseen: str = "mean",
        calibration: str = "water-filling",
        cap: float = 0.5,
        temperature: float = 1.0,
        spread: float = 0.4,
        count_special_tokens: bool = False,
    ) -> None:
        check_aggregate(aggregate)
        check_calibration(calibration)
        _check_name("ema_start", ema_start, ("first-visit", "zero"))
        _check_name("unseen", unseen, UNSEEN)
        _check_number("ema", ema, 0 < ema <= 1, "above 0 and at most 1")
        _check_number("cap", cap, 0 < cap <= 1, "above 0 and at most 1")
        _check_number("temperature", temperature, temperature > 0, "above 0")
        _check_number("spread", spread, 0 <= spread < 1, "from 0 to below 1")
        if aggregate == "signed-2023" and calibration == "water-filling":
            raise InputError("signed-2023 gives negative scores too: use it with calibration='affine-2023'.")
        self.aggregate, self.ema, self.ema_start, self.unseen = aggregate, ema, ema_start, unseen
        self.calibration, self.cap, self.temperature, self.spread = calibration, cap, temperature, spread
        self.eligible_V = Vocabulary.of(as_tokenizer(tokenizer)).eligible_V
        self.shares_V = _shares(token_counts, self.eligible_V, count_special_tokens)
        self.saliency_V = torch.zeros_like(self.shares_V)
        self.visited_V = torch.zeros_like(self.eligible_V)
        self.num_steps = 0
        self._pending: TypeSums | None = None
        self._rates: tuple[float, Tensor] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns each token's probability of being masked [B, T], 0 at special tokens."""
        ids_BT = batch["input_ids"]
        self._move(ids_BT.device)
        return torch.where(batch["eligible"], self.type_rates(batch["rate"])[ids_BT], 0.0)

    def type_rates(self, rate: float) -> Tensor:
        """Returns each type's probability of being masked [V] that meets the budget `rate`, 0 for special tokens."""
        if self._rates is None or self._rates[0] != rate:
            rates_V = self._calibrated(rate) if self.num_steps else torch.full_like(self.shares_V, rate)
            self._rates = rate, torch.where(self.eligible_V, rates_V, 0).float()
        return self._rates[1]

    @torch.no_grad()
    def add(
        self,
        tap: EmbeddingTap,
        gradients_BTD: Tensor,
        ids_BT: Tensor,
        masked_BT: Tensor,
        attention_mask_BT: Tensor | None = None,
    ) -> None:
        """Adds the saliency of a batch's original tokens to what the next `on_step_end` takes up.

        Special tokens and padding are left out, and gradients that are not finite (overflows of fp16).
        """
        self._move(ids_BT.device)
        saliency_BT = position_saliency(gradients_BTD, tap.embed(ids_BT))
        counted_BT = self.eligible_V[ids_BT] & torch.isfinite(saliency_BT)
        if attention_mask_BT is not None:
            counted_BT = counted_BT & attention_mask_BT.bool()
        sums = sum_by_type(saliency_BT, ids_BT, counted_BT, masked_BT, len(self.eligible_V), self.aggregate)
        before = self._pending
        self._pending = (
            sums if before is None else TypeSums(before.sums_KV + sums.sums_KV, before.counts_KV + sums.counts_KV)
        )

    def take_up(self, context: ScoreContext) -> None:
        """Moves the averages by what was added since, on all processes together; nothing if nothing was.

        A step of which no gradient was finite, as fp16 has while its loss scale is found, leaves them alone.
        """
        if self._pending is None:
            return
        means_V, occurred_V = TypeSums(*context.sum_over_ranks(torch.stack(self._pending))).means()
        self._pending = None
        if not occurred_V.any():
            return
        begun_V = self.visited_V if self.ema_start == "first-visit" else torch.full_like(occurred_V, self.num_steps > 0)
        self.saliency_V = smooth(self.saliency_V, means_V, occurred_V, begun_V, self.ema)
        self.visited_V = self.visited_V | occurred_V
        self.num_steps += 1
        self._rates = None

    def state_dict(self) -> dict[str, Any]:
        """Returns the table; a checkpoint holds it."""
        return {"saliency": self.saliency_V, "visited": self.visited_V, "num_steps": self.num_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the table of a checkpoint."""
        self.saliency_V, self.visited_V = state["saliency"].clone(), state["visited"].clone()
        self.num_steps = state["num_steps"]
        self._pending = self._rates = None

    def _calibrated(self, rate: float) -> Tensor:
        scores_V = fill_unseen(self.saliency_V, self.visited_V, self.shares_V, self.unseen)
        if self.calibration == "affine-2023":
            return affine_2023(scores_V, self.shares_V, rate, cap=self.cap, spread=self.spread)
        return water_filling(scores_V, self.shares_V, rate, cap=self.cap, temperature=self.temperature)

    def _move(self, device: torch.device) -> None:
        if self.saliency_V.device != device:
            for name in ("eligible_V", "shares_V", "saliency_V", "visited_V"):
                setattr(self, name, getattr(self, name).to(device))
            self._rates = None


class Typhoon(SaliencyTable):
    """Masks the types that the masked-LM loss in training depends on: `SaliencyTable`, fed from its own gradients.

    MaskingTrainer calls `observe` with every micro-batch and `on_step_end` after every optimizer step; the masks of the
    next step know it. Costs one gather and one product over [B, T, D]. Runs eager: a compiled model hides the gradient.

    Args:
        tokenizer: Whose types have rates.
        token_counts: How often each id occurs in the training text, [V].
        aggregate: `abs`, or `signed-2023`.
        ema: The weight of the newest step in the moving average.
        ema_start: `first-visit`, or `zero` as in 2023.
        unseen: What types not seen yet get: the `mean` of the others, or their `max` as in 2023.
        calibration: `water-filling`, or `affine-2023`.
        cap: The highest rate of a type.
        temperature: Of water-filling: the higher, the more even the rates.
        spread: Of `affine-2023`.
        count_special_tokens: Whether [CLS] and [SEP] take a share of the budget, as in 2023.

    Raises:
        InputError: For unknown names, numbers out of range, `signed-2023` under water-filling, and counts of nothing
            that may be masked.

    >>> from maskwise import Masker, count_tokens
    >>> from maskwise.testing import word_tokenizer
    >>> rows, tokenizer = [{"input_ids": [2, 5, 6, 6, 3]}], word_tokenizer("a b c")
    >>> masker = Masker(Typhoon(tokenizer, count_tokens(rows, tokenizer)), tokenizer, budget="from-scores")
    >>> masker.budget
    'from-scores'
    """

    wants_gradients = True
    tap: EmbeddingTap | None = None

    def bind(self, model: nn.Module, tokenizer: Any = None) -> None:
        """Names the model in training; raises InputError if its input embedding cannot be watched."""
        self.tap = EmbeddingTap(model)

    def observe(self, batch: Mapping[str, Any], gradients_BTD: Tensor) -> None:
        """Takes a masked batch and the gradient at its embedding's output."""
        if self.tap is None:
            raise InputError(f"{self.name} reads the model's embedding: call bind(model) first.")
        masked_BT = batch["labels"] != IGNORE
        ids_BT = torch.where(masked_BT, batch["labels"], batch["input_ids"])
        self.add(self.tap, gradients_BTD, ids_BT, masked_BT, batch.get("attention_mask"))

    def on_step_end(self, context: ScoreContext) -> None:
        """Moves the averages by the step that ends."""
        self.take_up(context)


def _shares(token_counts: Any, eligible_V: Tensor, count_special_tokens: bool) -> Tensor:
    try:
        found_V = torch.as_tensor(token_counts)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"token_counts is one count for each id, [V]; found {type(token_counts).__name__}. Write "
            "count_tokens(rows, tokenizer)."
        ) from None
    if found_V.ndim != 1 or len(found_V) > len(eligible_V):
        raise InputError(
            f"token_counts has shape {tuple(found_V.shape)}; give one count for each of the tokenizer's "
            f"{len(eligible_V):,} ids: np.bincount(ids)."
        )
    counts_V = torch.zeros(len(eligible_V), dtype=torch.float64)
    counts_V[: len(found_V)] = found_V.double()
    if not count_special_tokens:
        counts_V = torch.where(eligible_V, counts_V, 0)
    if not counts_V.sum() > 0:
        raise InputError("token_counts counts nothing that may be masked: count the ids of the training text.")
    return counts_V / counts_V.sum()


def _check_number(what: str, value: float, is_fine: bool, wanted: str) -> None:
    if not is_fine:
        raise InputError(f"{what} is {value:g}; it must lie {wanted}.")


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"No {what} {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
