"""What is being masked: looked at on a fixed probe of training blocks during a run.

Shapes: N probe blocks, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from maskwise.evaluation.held_out import NUM_QUINTILES
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score_context import TrainState

if TYPE_CHECKING:
    from maskwise.training.trainer import MaskingTrainer

PROBE_BLOCKS = 256
PROBE_BATCH = 32
_NUM_TYPES = 10


class MaskProbe:
    """A fixed set of training blocks and what the masker picks of them at a moment.

    `quintile_V`: each type's quintile by frequency, as in `evaluation.HeldOutEval`.
    """

    def __init__(self, masker: Masker, rows: Any, quintile_V: Tensor, num_blocks: int = PROBE_BLOCKS) -> None:
        self.masker, self.quintile_V = masker, quintile_V
        indices = np.linspace(0, len(rows) - 1, min(num_blocks, len(rows))).round().astype(int)
        self.rows = [{**rows[int(i)], "example_id": int(i)} for i in np.unique(indices)]
        self._last_picks: list[Tensor] | None = None

    def look(self, state: TrainState, device: torch.device) -> dict[str, Any]:
        """Returns figures on the picks at `state`, ready to be logged.

        `masked_rate`, and the `budget` it is to meet; `masked_score` and `eligible_score`, the mean of the finite
        scores of the picked and of all eligible tokens (of entropy and surprisal in nats; absent if there is none);
        `masked_q1` ... `masked_q5`, the share of picks by frequency quintile; `overlap`, the share of these picks that
        the last look picked too (absent on the first look); `most_masked`, the types picked most often; `score_source`
        where a model scores.
        """
        parts = [self._pick(start, state, device) for start in range(0, len(self.rows), PROBE_BATCH)]
        picks = [picked for picked, *_ in parts]
        ids, scores, eligible, picked = (
            torch.cat([part.flatten() for part in values])
            for values in zip(
                *((ids, scores, eligible, picked) for picked, ids, scores, eligible in parts), strict=True
            )
        )
        figures: dict[str, Any] = {
            "masked_rate": picked.sum().item() / max(eligible.sum().item(), 1),
            "budget": self.masker.rate_at(state.progress),
            **_finite_mean("masked_score", scores[picked]),
            **_finite_mean("eligible_score", scores[eligible]),
            **self._by_quintile(ids[picked]),
            "most_masked": self._most_masked(ids[picked]),
        }
        if self._last_picks is not None:
            kept = sum((new & old).sum().item() for new, old in zip(picks, self._last_picks, strict=True))
            figures["overlap"] = kept / max(picked.sum().item(), 1)
        if (source := self.masker.score.source(state)) is not None:
            figures["score_source"] = source
        self._last_picks = picks
        return figures

    def _pick(self, start: int, state: TrainState, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows: Sequence[dict[str, Any]] = self.rows[start : start + PROBE_BATCH]
        padded = pad_batch(rows, self.masker.vocabulary.pad_token_id, self.masker.columns, inputs=None)
        batch = self.masker.prepare({key: value.to(device) for key, value in padded.items()}, state)
        scores = self.masker.scores(batch)
        picked, _ = self.masker.choose(batch, scores)
        return picked.cpu(), batch["input_ids"].cpu(), scores.cpu(), batch["eligible"].cpu()

    def _by_quintile(self, picked_ids: Tensor) -> dict[str, float]:
        counts = torch.bincount(self.quintile_V[picked_ids], minlength=NUM_QUINTILES).double()
        shares = (counts / counts.sum().clamp_min(1)).tolist()
        return {f"masked_q{quintile + 1}": share for quintile, share in enumerate(shares)}

    def _most_masked(self, picked_ids: Tensor) -> str:
        counts = torch.bincount(picked_ids)
        top = counts.argsort(descending=True, stable=True)[:_NUM_TYPES]
        return " ".join(self.masker.tokenizer.convert_ids_to_tokens([int(i) for i in top if counts[i] > 0]))


def _finite_mean(name: str, scores: Tensor) -> dict[str, float]:
    """Never and always are infinite, and a strategy may pick nothing of the probe."""
    finite = scores[torch.isfinite(scores)]
    return {name: finite.mean().item()} if len(finite) else {}


class LogMasks(TrainerCallback):
    """Logs a look at the probe with every evaluation; the figures go where the run's other metrics go.

    `trained_rate` is the share of eligible tokens masked in this process's training batches since the look before, or
    since the run was resumed.
    """

    def __init__(self, probe: MaskProbe, trainer: MaskingTrainer) -> None:
        self.probe, self.trainer = probe, trainer

    def on_evaluate(self, args, state, control, **kwargs):
        """Takes one look, in the precision of training."""
        with self.trainer.precision():
            figures = self.probe.look(self.trainer.train_state(), args.device)
        trained_rate = self.trainer.rate_meter.take()
        self.trainer.log(figures if trained_rate is None else figures | {"trained_rate": trained_rate})
