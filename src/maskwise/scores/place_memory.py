"""Scores that remember every place of the training text: how often it was masked, and what the model made of it.

Shapes: B sequences, T positions, R labelled rows, N rows of the training data, L tokens of the longest row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.noise import text_positions
from maskwise.masking.row_notes import MASKED
from maskwise.masking.score import Labelled, StatefulScore
from maskwise.masking.score_context import RunPlan, ScoreContext, TrainState
from maskwise.masking.vocabulary import Vocabulary
from maskwise.scores.start_phase import check_uniform_phase, uniform_phase

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_BYTES = 4 * 2**30  # bytes of a table; more would not fit next to a model on most devices
_NOTES = ("nll", "entropy")


class PlaceMemory(StatefulScore):
    """Tables with a cell for every place of the training text, the same on all processes after each step.

    Rows are known by their number in the data set. What the processes saw in a step is brought together at its end,
    since a row is another process's in the next epoch.

    Raises:
        InputError: When a run starts, for a data set without a length and a table of more than 4 GiB.
    """

    tables: ClassVar[Mapping[str, tuple[torch.dtype, float]]] = {}

    def __init__(self) -> None:
        self._pending: list[Tensor] = []  # place, value and epoch of what was seen in this step, [R, 3] each

    def on_epoch_start(self, context: ScoreContext) -> None:
        """Makes the tables when a run starts."""
        shape = (context.num_rows, int(context.row_lengths().max(initial=1)))
        for name, (dtype, start) in self.tables.items():
            found = getattr(self, name, None)
            if found is None:
                self.add_state(name, self._table(shape, dtype, start))
            elif found.shape != shape:
                raise InputError(
                    f"{self.name} remembers {found.shape[0]:,} rows of up to {found.shape[1]:,} tokens, and the "
                    f"training data has {shape[0]:,} of up to {shape[1]:,}. Resume on the data of the run."
                )
        self.to(context.device)

    def on_step_end(self, context: ScoreContext) -> None:
        """Takes up what all processes saw in the step."""
        nothing_R3 = torch.zeros(0, 3, dtype=torch.float64, device=context.device)
        seen_R3 = context.gather_rows(torch.cat([nothing_R3, *self._pending]))
        self._pending = []
        places_R, values_R, epochs_R = seen_R3.unbind(-1)
        self.take(places_R.to(torch.int64), values_R.float(), epochs_R.to(torch.int16))

    def take(self, places_R: Tensor, values_R: Tensor, epochs_R: Tensor) -> None:
        """Puts a step's values into the tables; places are numbers of cells."""
        raise NotImplementedError

    def note(self, batch: Mapping[str, Any], labelled: Labelled, values_R: Tensor, counted_R: Tensor) -> None:
        """Keeps values of labelled rows until the step ends."""
        length = next(getattr(self, name) for name in self.tables).shape[1]
        position_R = text_positions(batch)[labelled.row_R, labelled.position_R]
        places_R = labelled.example_id_R * length + position_R
        epochs_R = torch.full_like(places_R, batch["state"].epoch)
        seen_R3 = torch.stack([places_R.double(), values_R.double(), epochs_R.double()], -1)
        self._pending.append(seen_R3[counted_R])

    def cells(self, batch: Mapping[str, Any], name: str) -> Tensor:
        """Returns a table's values [B, T] at the batch's places."""
        table_NL = getattr(self, name)
        return table_NL[batch["example_id"][:, None], text_positions(batch).clamp(0, table_NL.shape[1] - 1)]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the tables of a checkpoint; they are held against the data when training begins."""
        for name in self.tables:
            if name in state:
                self.add_state(name, state[name].clone())
        others = {name: value for name, value in state.items() if name not in self.tables}
        own = {name: getattr(self, name) for name in self._states if name not in self.tables}
        for name, value in own.items():
            if name not in others or others[name].shape != value.shape:
                raise InputError(f"The checkpoint's state of {self.name} does not fit: {name!r} is of another shape.")
            setattr(self, name, others[name].to(value.dtype).clone())

    def _table(self, shape: tuple[int, int], dtype: torch.dtype, start: float) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        if size > MOST_BYTES:
            raise InputError(
                f"{self.name} would remember {shape[0]:,} rows of {shape[1]:,} tokens, which takes {size / 2**30:.1f} "
                f"GiB; at most {MOST_BYTES / 2**30:.0f} are kept. Train on less text, or choose a score by token type."
            )
        return torch.full(shape, start, dtype=dtype)


class CountMemory(PlaceMemory):
    """Masks first what was masked least often: each place of the text comes up equally often over the epochs.

    Noise breaks ties. Source: the masking of GPT-BERT's code (Charpentier & Samuel, 2024).

    Returns:
        When called with a batch: minus the number of times that each place was masked, float32 [B, T].

    Raises:
        InputError: When a run starts, for a data set without a length and a table of more than 4 GiB.

    >>> score = CountMemory()
    >>> score.on_epoch_start(ScoreContext.alone(rows=[{"input_ids": [2, 5, 6, 3]}]))
    >>> score.counts_NL[0, 1] += 1
    >>> score({"input_ids": torch.tensor([[2, 5, 6, 3]]), "example_id": torch.tensor([0])}).int().tolist()
    [[0, -1, 0, 0]]
    """

    feedback = frozenset({"nll"})  # which costs nothing
    default_pick = "high"
    counts_NL: Tensor
    tables: ClassVar = {"counts_NL": (torch.int16, 0)}

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        if getattr(self, "counts_NL", None) is None:
            return torch.zeros(batch["input_ids"].shape, device=batch["input_ids"].device)
        self.to(batch["input_ids"].device)
        return -self.cells(batch, "counts_NL").float()

    def learn(self, batch: Mapping[str, Any], labelled: Labelled) -> None:
        """Notes which places were masked, whatever they were replaced by."""
        self.note(batch, labelled, torch.ones_like(labelled.example_id_R), labelled.counted_R)

    def take(self, places_R: Tensor, values_R: Tensor, epochs_R: Tensor) -> None:
        """Counts."""
        self.counts_NL.view(-1).index_add_(0, places_R, values_R.to(torch.int16))


class PositionMemory(PlaceMemory):
    """Masks what the model found hard the last time that this very place was [MASK], with a memory that fades.

    s = m + decay^(epoch - last) (x - m): x is the value then, in epoch `last`, and m the mean of the place's token type
    in the last `refresh` steps, with one pseudo-observation of log V. A place that was never [MASK] has m.

    Args:
        tokenizer: Of the batches.
        of: "nll" or "entropy", in nats.
        decay: What is left of the difference after an epoch.
        refresh: Optimizer steps between two renewals of the types' means.
        epochs: All tokens weigh the same for so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.

    Returns:
        When called with a batch: s, float32 [B, T], at least 0.

    Raises:
        InputError: For another `of`, numbers out of range, and when a run starts, for a data set without a length and
            a table of more than 4 GiB.

    >>> from maskwise.testing import word_tokenizer
    >>> score = PositionMemory(word_tokenizer("a b"))
    >>> row = {"input_ids": torch.tensor([[5]]), "state": TrainState(), "example_id": torch.tensor([0])}
    >>> score(row).allclose(torch.tensor(3.0).log())  # nothing was asked yet: [UNK], "a" and "b" are equally likely
    True
    """

    values_NL: Tensor
    epochs_NL: Tensor
    tables: ClassVar = {"values_NL": (torch.float16, math.nan), "epochs_NL": (torch.int16, 0)}

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        of: str = "nll",
        decay: float = 0.5,
        refresh: int = 200,
        epochs: int | None = None,
        steps: int | None = None,
        share: float | None = None,
    ) -> None:
        super().__init__()
        if of not in _NOTES:
            raise InputError(f"PositionMemory remembers {' or '.join(_NOTES)}; found of={of!r}.")
        if not 0 <= decay <= 1 or refresh < 1:
            raise InputError(f"decay is from 0 to 1 and refresh at least 1; found {decay!r} and {refresh!r}.")
        self.of, self.decay, self.refresh = of, decay, refresh
        self.epochs, self.steps, self.share = epochs, steps, share
        self._phase, self.feedback = uniform_phase(epochs, steps, share), frozenset({of})
        eligible_V = Vocabulary.of(tokenizer).eligible_V
        self._hardest = math.log(int(eligible_V.sum()))
        self.add_state("means_V", torch.full((len(eligible_V),), self._hardest, dtype=torch.float64))
        self.add_state("seen_V", torch.zeros(len(eligible_V), dtype=torch.float64), sum_over_ranks=True)
        self.add_state("sums_V", torch.zeros(len(eligible_V), dtype=torch.float64), sum_over_ranks=True)

    def check_run(self, plan: RunPlan) -> None:
        """Raises InputError if the run would end inside the uniform phase."""
        check_uniform_phase(self._phase, plan, self.name)

    def source(self, state: TrainState) -> str:
        """Returns who scores at a point of the run: `uniform` or `feedback`."""
        return "uniform" if self._phase.covers(state) else "feedback"

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        self.to(batch["input_ids"].device)
        mean_BT = self.means_V[batch["input_ids"]].float()
        if self._phase.covers(batch["state"]):
            return torch.ones_like(mean_BT)
        if getattr(self, "values_NL", None) is None:
            return mean_BT
        value_BT, last_BT = self.cells(batch, "values_NL").float(), self.cells(batch, "epochs_NL")
        left_BT = self.decay ** (batch["state"].epoch - last_BT).float()
        return torch.where(torch.isnan(value_BT), mean_BT, mean_BT + left_BT * (value_BT - mean_BT)).clamp_min(0)

    def learn(self, batch: Mapping[str, Any], labelled: Labelled) -> None:
        """Notes the rows that were replaced by [MASK]."""
        values_R = labelled.note(self.of)
        counted_R = labelled.counted_R & (labelled.fate_R == MASKED)
        self.note(batch, labelled, values_R, counted_R)
        self.seen_V.index_add_(0, labelled.token_id_R, counted_R.to(self.seen_V.dtype))
        self.sums_V.index_add_(0, labelled.token_id_R, torch.where(counted_R, values_R, 0).to(self.sums_V.dtype))

    def take(self, places_R: Tensor, values_R: Tensor, epochs_R: Tensor) -> None:
        """Remembers the values and their epoch."""
        self.values_NL.view(-1)[places_R] = values_R.to(torch.float16)
        self.epochs_NL.view(-1)[places_R] = epochs_R

    def on_step_end(self, context: ScoreContext) -> None:
        """Takes up the step, and renews the types' means every `refresh` steps."""
        super().on_step_end(context)
        if context.state.step % self.refresh == 0:
            seen_V, sums_V = (context.sum_over_ranks(sums) for sums in (self.seen_V, self.sums_V))
            self.means_V = (sums_V + self._hardest) / (seen_V + 1)
            self.seen_V, self.sums_V = torch.zeros_like(seen_V), torch.zeros_like(sums_V)
