"""What each token type is worth masking, learned from how the model does on it: `TokenAccuracy` and its relatives.

Shapes: B sequences, T positions, R labelled rows, V vocabulary, K values that weights are kept for (V token types, or
the values of a column).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.row_notes import MASKED
from maskwise.masking.score import Labelled, StatefulScore
from maskwise.masking.score_context import RunPlan, ScoreContext, TrainState
from maskwise.masking.vocabulary import Vocabulary
from maskwise.scores.start_phase import check_uniform_phase, uniform_phase

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenFeedback(StatefulScore):
    """A weight per token type, or per value of a column, renewed from the rows that were masked since the last time.

    Every `refresh` optimizer steps each weight becomes `(1 - newest) w + newest r h`, with r the masking rate and h how
    hard the type is, at least `floor`, and the weights are scaled to a mean of r over all types. Rows count if their
    token was replaced by [MASK]; the sums of all processes are added up at each refresh. Before the first, and while
    the uniform phase lasts, all tokens weigh the same.

    Args:
        tokenizer: Of the batches. Special tokens are no types.
        refresh: Optimizer steps between two renewals.
        newest: The share of the newest rows in a weight.
        floor: The least weight before scaling.
        key: A column of whole numbers from 0, such as parts of speech: weights are kept for its values instead of
            token types. Tokens whose value is negative get the mean weight.
        num_values: How many values the column has.
        epochs: The uniform phase lasts so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.

    Raises:
        InputError: For numbers out of range, and a `key` without `num_values`.
    """

    note: ClassVar[str]

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        refresh: int = 200,
        newest: float = 0.8,
        floor: float = 0.005,
        key: str | None = None,
        num_values: int | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        share: float | None = None,
    ) -> None:
        _check_numbers(refresh, newest, floor)
        if (key is None) != (num_values is None):
            raise InputError(f"key and num_values go together; found key={key!r}, num_values={num_values!r}.")
        self.refresh, self.newest, self.floor, self.key, self.num_values = refresh, newest, floor, key, num_values
        self.epochs, self.steps, self.share = epochs, steps, share
        self._phase = uniform_phase(epochs, steps, share)
        self.feedback, self.columns = frozenset({self.note}), () if key is None else (key,)
        eligible_V = Vocabulary.of(tokenizer).eligible_V
        self._num_types = int(eligible_V.sum())
        self._counts_K = eligible_V if num_values is None else torch.ones(num_values, dtype=torch.bool)
        self.add_state("weights_K", self._counts_K.double())
        self.add_state("seen_K", torch.zeros(len(self._counts_K), dtype=torch.float64), sum_over_ranks=True)
        self.add_state("sums_K", torch.zeros(len(self._counts_K), dtype=torch.float64), sum_over_ranks=True)

    def check_run(self, plan: RunPlan) -> None:
        """Raises InputError if the run would end inside the uniform phase."""
        check_uniform_phase(self._phase, plan, self.name)

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns each token's weight [B, T]; 1 for all while the uniform phase lasts."""
        ids_BT = self._keys(batch)
        self.to(ids_BT.device)
        if self._phase.covers(batch["state"]):
            return torch.ones(ids_BT.shape, device=ids_BT.device)
        mean = self.weights_K.sum() / self._counts_K.sum()
        return torch.where(ids_BT >= 0, self.weights_K[ids_BT.clamp_min(0)], mean).float()

    def learn(self, batch: Mapping[str, Any], labelled: Labelled) -> None:
        """Adds the rows that were replaced by [MASK]."""
        keys_R = labelled.token_id_R if self.key is None else batch[self.key][labelled.row_R, labelled.position_R]
        counted_R = labelled.counted_R & (labelled.fate_R == MASKED) & (keys_R >= 0)
        self.to(keys_R.device)
        keys_R, counted_R = keys_R.clamp_min(0), counted_R.to(self.seen_K.dtype)
        value_R = labelled.note(self.note).to(self.seen_K.dtype)
        self.seen_K.index_add_(0, keys_R, counted_R)
        self.sums_K.index_add_(0, keys_R, torch.where(counted_R > 0, value_R, 0))

    def on_epoch_start(self, context: ScoreContext) -> None:
        """Sets all weights to the masking rate when a run starts."""
        if context.state.step == 0:
            self.weights_K = self._counts_K.to(self.weights_K) * context.rate

    def on_step_end(self, context: ScoreContext) -> None:
        """Renews the weights every `refresh` steps, alike on all processes."""
        if context.state.step == 0 or context.state.step % self.refresh:
            return
        self.to(context.device)
        seen_K, sums_K = (context.sum_over_ranks(sums) for sums in (self.seen_K, self.sums_K))
        counts_K = self._counts_K.to(seen_K.device)
        hardness_K = self._hardness(seen_K, sums_K, counts_K)
        weights_K = (1 - self.newest) * self.weights_K + self.newest * context.rate * hardness_K
        weights_K = torch.where(counts_K, weights_K.clamp_min(self.floor), 0)
        self.weights_K = context.rate * counts_K.sum() * weights_K / weights_K.sum()
        self.seen_K, self.sums_K = torch.zeros_like(seen_K), torch.zeros_like(sums_K)

    def source(self, state: TrainState) -> str:
        """Returns who scores at a point of the run: `uniform` or `feedback`."""
        return "uniform" if self._phase.covers(state) else "feedback"

    def _keys(self, batch: Mapping[str, Any]) -> Tensor:
        return batch["input_ids"] if self.key is None else batch[self.key].to(torch.int64)

    def _hardness(self, seen_K: Tensor, sums_K: Tensor, counts_K: Tensor) -> Tensor:
        raise NotImplementedError


class TokenAccuracy(TokenFeedback):
    """AMLM, hard: a type is masked the more often, the less often the model predicts it (Edman & Fraser, 2025).

    h = 1 - (correct + 1/2) / (seen + 1); a type that was not seen has 1/2. Published with budget "bernoulli", 80/10/10
    and a rate that falls from .40 to .15: the recipe `amlm`.

    Args:
        tokenizer: Of the batches.
        refresh: Optimizer steps between two renewals of the weights.
        newest: The share of the newest rows in a weight.
        floor: The least weight before scaling.
        key: A column of whole numbers from 0: weights are kept for its values instead of token types.
        num_values: How many values the column has.
        epochs: All tokens weigh the same for so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.

    Returns:
        When called with a batch: each token's weight, float32 [B, T].

    Raises:
        InputError: For numbers out of range.

    >>> from maskwise.testing import word_tokenizer
    >>> score = TokenAccuracy(word_tokenizer("a b"), refresh=1)
    >>> row = torch.zeros(1, dtype=torch.int64)
    >>> score.on_epoch_start(ScoreContext.alone())
    >>> score.learn({}, Labelled(row + 5, row, row, row, row, row == 0, is_correct_R=row + 1.0))
    >>> score.on_step_end(ScoreContext.alone(state=TrainState(step=1)))
    >>> [round(weight, 4) for weight in score.weights_K[5:].tolist()]  # of "a", which was predicted, and "b"
    [0.1125, 0.1688]
    """

    note = "correct"

    def _hardness(self, seen_K: Tensor, sums_K: Tensor, counts_K: Tensor) -> Tensor:
        return 1 - (sums_K + 0.5) / (seen_K + 1)


class TokenLoss(TokenFeedback):
    """AMLM, soft: a type is masked the more often, the greater its loss (Edman & Fraser, 2025).

    h is the mean negative log-likelihood of the type's masked rows in nats, with one pseudo-observation of log V, so
    that a type that was not seen counts as hardest, scaled to 0 to 1 over all types (1/2 if all are equal).

    Args:
        tokenizer: Of the batches.
        refresh: Optimizer steps between two renewals of the weights.
        newest: The share of the newest rows in a weight.
        floor: The least weight before scaling.
        key: A column of whole numbers from 0: weights are kept for its values instead of token types.
        num_values: How many values the column has.
        epochs: All tokens weigh the same for so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.

    Returns:
        When called with a batch: each token's weight, float32 [B, T].

    Raises:
        InputError: For numbers out of range.

    >>> from maskwise.testing import word_tokenizer
    >>> score = TokenLoss(word_tokenizer("a b"), share=0.1)
    >>> score({"input_ids": torch.tensor([[5, 6]]), "state": TrainState(progress=0.05)}).tolist()
    [[1.0, 1.0]]
    """

    note = "nll"

    def _hardness(self, seen_K: Tensor, sums_K: Tensor, counts_K: Tensor) -> Tensor:
        mean_K = (sums_K + math.log(self._num_types)) / (seen_K + 1)
        lowest = torch.where(counts_K, mean_K, torch.inf).amin()
        highest = torch.where(counts_K, mean_K, -torch.inf).amax()
        return torch.where(highest > lowest, (mean_K - lowest) / (highest - lowest).clamp_min(1e-30), 0.5)


class TokenEntropy(TokenFeedback):
    """A type is masked the more often, the less certain the model is where it had to predict it.

    h = H / log V, with H the mean entropy in nats at the type's masked rows, with one pseudo-observation at the mean
    over all types that were seen. It is uncertainty where the model was really asked, and takes no pass of its own.

    Args:
        tokenizer: Of the batches.
        refresh: Optimizer steps between two renewals of the weights.
        newest: The share of the newest rows in a weight.
        floor: The least weight before scaling.
        key: A column of whole numbers from 0: weights are kept for its values instead of token types.
        num_values: How many values the column has.
        epochs: All tokens weigh the same for so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.

    Returns:
        When called with a batch: each token's weight, float32 [B, T].

    Raises:
        InputError: For numbers out of range.

    >>> from maskwise.testing import word_tokenizer
    >>> score = TokenEntropy(word_tokenizer("a b"), share=0.1)
    >>> score({"input_ids": torch.tensor([[5, 6]]), "state": TrainState(progress=0.05)}).tolist()
    [[1.0, 1.0]]
    """

    note = "entropy"

    def _hardness(self, seen_K: Tensor, sums_K: Tensor, counts_K: Tensor) -> Tensor:
        is_seen_K = seen_K > 0
        means_K = torch.where(is_seen_K, sums_K / seen_K.clamp_min(1), 0)
        typical = means_K.sum() / is_seen_K.sum().clamp_min(1)
        return (sums_K + typical) / (seen_K + 1) / math.log(self._num_types)


def _check_numbers(refresh: int, newest: float, floor: float) -> None:
    if not isinstance(refresh, int) or refresh < 1:
        raise InputError(f"refresh is a whole number of optimizer steps, at least 1; found {refresh!r}.")
    if not 0 < newest <= 1:
        raise InputError(f"newest is above 0 and at most 1; found {newest!r}.")
    if not 0 < floor < 1:
        raise InputError(f"floor is above 0 and below 1; found {floor!r}.")
