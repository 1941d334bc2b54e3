"""Scores that a language model gives: entropy and surprisal.

Shapes: B sequences, T positions, R rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.masking.columns import NOT_FOR_THE_MODEL
from maskwise.masking.entropy import RowStatistics, logit_statistics, row_statistics
from maskwise.masking.noise import Stream, text_positions, uniform_noise
from maskwise.masking.rows import Rows, sync_stalls
from maskwise.masking.score import StatefulScore
from maskwise.masking.score_context import RunPlan, TrainState
from maskwise.models.loading import load_masked_lm
from maskwise.models.model_limits import check_teacher_vocabulary
from maskwise.models.sparse import SparseHead, evaluating, unwrapped
from maskwise.models.weights_sample import weights_sample
from maskwise.scores.start_phase import StartPhase
from maskwise.scores.stored import Stored

DENSE_POSITIONS = 512


class ModelScore(StatefulScore):
    """A score that a language model gives: of a teacher, of the model in training, or one after the other.

    With a teacher and one of `epochs`, `steps` and `share`, the teacher scores until then and the model in training
    afterwards. Scoring is in eval mode and without gradient; the mode of every model and the random state are as before
    afterwards, and a teacher's parameters are left as they are.

    Args:
        teacher: A masked language model, its name or folder, or its `Stored` scores. Without one the model in training
            scores, once `bind` has named it, as MaskingTrainer does.
        epochs: The teacher scores so many epochs,
        steps: or so many optimizer steps,
        share: or this share of the run.
        folds: None scores the unmasked text in one pass, as the paper does. K masks each K-th of the eligible tokens in
            turn and scores them masked, in K passes.
        compiled: Whether the kernel is compiled, which takes seconds once and makes it several times as fast.

    Raises:
        InputError: For two switches at once, a switch without a teacher, fewer than 2 folds, and a teacher that is not
            a model.
    """

    statistic: ClassVar[str]
    default_pick = "high"

    def __init__(
        self,
        teacher: nn.Module | Stored | str | Path | None = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        share: float | None = None,
        folds: int | None = None,
        compiled: bool = True,
    ) -> None:
        self._phase = StartPhase(epochs, steps, share)
        if len(self._phase.given) > 1:
            raise InputError("Give the teacher's phase once: epochs, steps or share of the run.")
        if self._phase.given and teacher is None:
            raise InputError("A teacher's phase (epochs, steps or share) needs a teacher.")
        if folds is not None and folds < 2:
            raise InputError(f"folds is the number of passes, at least 2; found {folds}. Leave it out for one pass.")
        self.epochs, self.steps, self.share, self.folds, self.compiled = epochs, steps, share, folds, compiled
        teacher = self._as_teacher(teacher)
        if isinstance(teacher, Stored):
            self._check_stored(teacher)
        self.teacher = SparseHead(teacher) if isinstance(teacher, nn.Module) else teacher
        self.student: SparseHead | None = None
        self.is_local = isinstance(teacher, Stored) and not self._phase.given

    def bind(self, model: nn.Module, tokenizer: Any = None) -> None:
        """Names the model in training, and moves a live teacher to its device.

        Raises:
            InputError: If the teacher has fewer embeddings than the tokenizer needs, or is the model in training.
        """
        self.student = SparseHead(model)
        if isinstance(self.teacher, SparseHead):
            if unwrapped(self.teacher.model) is unwrapped(model):
                name = type(self).__name__
                raise InputError(
                    f"{name}(model) takes a teacher, and this one is the model in training itself. "
                    f"To score with the model in training write {name}()."
                )
            check_teacher_vocabulary(self.teacher.model, model, tokenizer)
            self.teacher.model.to(next(model.parameters()).device)

    def check_run(self, plan: RunPlan) -> None:
        """Raises InputError if the run would end before the switch to the model in training."""
        if self._phase.outlasts(plan):
            raise InputError(
                f"The run of {plan.steps:,} steps ({plan.epochs:g} epochs) would end before the teacher's phase does "
                f"({self._switch_text()}). Train longer, shorten the phase, or leave it out to keep the teacher."
            )

    def source(self, state: TrainState) -> str:
        """Returns who scores at a point of the run: `teacher` or `self`."""
        if self.teacher is None:
            return "self"
        return "self" if self._phase.given and not self._phase.covers(state) else "teacher"

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the score [B, T] in nats; 0 where a token may not be masked."""
        head = self.teacher if self.source(batch["state"]) == "teacher" else self.student
        if isinstance(head, Stored):
            return head(batch)
        if head is None:
            raise InputError(f"{self.name}() scores with the model in training: call bind(model) first.")
        return score_with(head, batch, self.statistic, folds=self.folds, compiled=self.compiled)

    def fingerprint(self) -> str:
        """Returns the class, its settings, and which teacher scores."""
        teacher = self.teacher
        kind = teacher.fingerprint() if isinstance(teacher, Stored) else "none"
        if isinstance(teacher, SparseHead):
            kind = f"{type(teacher.unwrapped).__name__} {weights_sample(teacher.unwrapped)}"
        return f"{super().fingerprint()[:-1]}, teacher={kind})"

    def __repr__(self) -> str:
        teacher = type(self.teacher.unwrapped).__name__ if isinstance(self.teacher, SparseHead) else self.teacher
        settings = {name: getattr(self, name) for name in ("epochs", "steps", "share", "folds")}
        given = [f"{name}={value}" for name, value in settings.items() if value is not None]
        return f"{type(self).__name__}({', '.join([*([] if teacher is None else [str(teacher)]), *given])})"

    def _as_teacher(self, teacher: Any) -> nn.Module | Stored | None:
        if isinstance(teacher, str | Path):
            return load_masked_lm(str(teacher))
        if teacher is None or isinstance(teacher, nn.Module | Stored):
            return teacher
        name = type(self).__name__
        if isinstance(teacher, type):
            raise InputError(
                f"A teacher is a model, and {teacher.__name__} is a class: write "
                f"{name}(AutoModelForMaskedLM.from_pretrained(NAME))."
            )
        raise InputError(
            f"A teacher is a masked language model, its name, or its Stored(folder); found {type(teacher).__name__}. "
            f"Write {name}(AutoModelForMaskedLM.from_pretrained(NAME)), or {name}() for the model in training."
        )

    def _check_stored(self, stored: Stored) -> None:
        wanted = self.statistic.removesuffix("_R")
        if stored.statistic != wanted or self.folds is not None:
            raise InputError(
                f"{type(self).__name__} reads stored {wanted} of one unmasked pass; found {stored.statistic} in "
                f"{stored.folder}, and folds = {self.folds}. Store {wanted} by maskwise annotate, and leave out folds."
            )

    def _switch_text(self) -> str:
        return ", ".join(f"{name} = {value:g}" for name, value in self._phase.given.items())


class Entropy(ModelScore):
    """The entropy of the model's prediction at each token, in nats (entropy paper, arXiv 2605.28526, 2.1-2.2).

    Args:
        teacher: A masked language model, its name or folder, or its `Stored` scores. Without one the model in training
            scores.
        epochs: With a teacher: it scores so many epochs, and the model in training after that,
        steps: or so many optimizer steps,
        share: or this share of the run.
        folds: Score tokens masked, each K-th in turn, in K passes. None: unmasked, in one pass.
        compiled: Whether the kernel is compiled.

    Returns:
        When called with a batch: float32 [B, T] in nats, 0 at tokens that may not be masked.

    Raises:
        InputError: For two switches at once, a switch without a teacher, fewer than 2 folds, a teacher that is not a
            model, and, when a run starts, a teacher of another vocabulary or one that is the model in training.

    >>> from maskwise.masking.masker import Masker
    >>> from maskwise.testing import tiny_model, word_tokenizer
    >>> tokenizer = word_tokenizer("a b c")
    >>> score = Entropy(tiny_model(tokenizer), compiled=False)
    >>> batch = Masker(score, tokenizer).prepare({"input_ids": torch.tensor([[2, 5, 6, 3]])})
    >>> score(batch).shape, score(batch)[0, 0].item()
    (torch.Size([1, 4]), 0.0)
    """

    statistic = "entropy_R"


class Surprisal(ModelScore):
    """-log p of the token that is there, in nats: the sibling of `Entropy` that knows the answer.

    Args:
        teacher: A masked language model, its name or folder, or its `Stored` scores. Without one the model in training
            scores.
        epochs: With a teacher: it scores so many epochs, and the model in training after that,
        steps: or so many optimizer steps,
        share: or this share of the run.
        folds: Score tokens masked, each K-th in turn, in K passes. None: unmasked, in one pass.
        compiled: Whether the kernel is compiled.

    Returns:
        When called with a batch: float32 [B, T] in nats, 0 at tokens that may not be masked.

    Raises:
        InputError: As `Entropy` does.

    >>> Surprisal(folds=4)
    Surprisal(folds=4)
    """

    statistic = "surprisal_R"


MODEL_SCORES: dict[str, type[ModelScore]] = {"entropy": Entropy, "surprisal": Surprisal}


@torch.no_grad()
def score_with(
    head: SparseHead, batch: Mapping[str, Any], statistic: str, *, folds: int | None = None, compiled: bool = True
) -> Tensor:
    """Returns one of `RowStatistics` at every eligible token, [B, T] fp32, 0 elsewhere.

    The model's mode and the random state are as before afterwards. Models whose logits are no plain product with a
    decoder's weight (MobileBERT, Perceiver) are scored on dense logits of at most 512 positions at a time, though never
    of less than a sequence.
    """
    with evaluating(head.model):
        if folds is None:
            most = batch["eligible"].numel()
            return _score_rows(head, batch, batch["input_ids"], batch["eligible"], most, statistic, compiled)
        return _score_folds(head, batch, statistic, folds, compiled)


def _score_folds(head: SparseHead, batch: Mapping[str, Any], statistic: str, folds: int, compiled: bool) -> Tensor:
    """Every eligible token is masked in exactly one of the passes, drawn anew in each epoch."""
    eligible_BT = batch["eligible"]
    noise_BT = uniform_noise(0, batch["state"].epoch, batch["example_id"], text_positions(batch), Stream.FOLD)
    rank_BT = torch.where(eligible_BT, noise_BT, 2.0).argsort(dim=-1).argsort(dim=-1)
    most = len(rank_BT) * -(-rank_BT.shape[1] // folds)
    scores_BT = torch.zeros(eligible_BT.shape, device=eligible_BT.device)
    for fold in range(folds):
        asked_BT = eligible_BT & (rank_BT % folds == fold)
        masked_BT = torch.where(asked_BT, batch["mask_token_id"], batch["input_ids"])
        scores_BT = scores_BT + _score_rows(head, batch, masked_BT, asked_BT, most, statistic, compiled)
    return scores_BT


def _score_rows(
    head: SparseHead,
    batch: Mapping[str, Any],
    seen_BT: Tensor,
    rows_BT: Tensor,
    most: int,
    statistic: str,
    compiled: bool,
) -> Tensor:
    named = (head.named_inputs | {"attention_mask"}) - NOT_FOR_THE_MODEL - {"labels"}
    inputs = {key: batch[key] for key in batch if key in named} | {"input_ids": seen_BT}
    if not head.is_linear(inputs):
        rows = Rows.of(rows_BT)
        statistics = _dense_statistics(head, inputs, rows_BT, rows.take(batch["input_ids"], 0))
        return rows.put(getattr(statistics, statistic))
    # Of padded batches half might be rows of nothing, which cost more than a wait for their number.
    is_known = sync_stalls(rows_BT.device) and "attention_mask" not in batch
    rows = Rows.of(rows_BT, most if is_known else None)
    found = head.decoder_inputs(inputs, rows)
    assert found is not None
    statistics = _statistics(*found, rows.take(batch["input_ids"], 0), compiled)
    return rows.put(getattr(statistics, statistic))


def _statistics(
    hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_R: Tensor, compiled: bool
) -> RowStatistics:
    if torch.is_autocast_enabled(hidden_RD.device.type):
        hidden_RD = hidden_RD.to(torch.get_autocast_dtype(hidden_RD.device.type))
    return row_statistics(hidden_RD, weight_VD, bias_V, targets_R, compiled=compiled)


def _dense_statistics(
    head: SparseHead, inputs: Mapping[str, Tensor], rows_BT: Tensor, targets_R: Tensor
) -> RowStatistics:
    """Takes a few sequences at a time, so that [R, V] of the whole batch never exists."""
    size = max(DENSE_POSITIONS // rows_BT.shape[1], 1)
    parts, start = [], 0
    for first in range(0, len(rows_BT), size):
        chosen = slice(first, first + size)
        logits_RV = head.logits({key: value[chosen] for key, value in inputs.items()}, rows_BT[chosen])
        parts.append(logit_statistics(logits_RV, targets_R[start : start + len(logits_RV)]))
        start += len(logits_RV)
    return RowStatistics(*map(torch.cat, zip(*parts, strict=True)))
