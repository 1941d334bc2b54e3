"""Evaluation inside a Trainer: the fixed held-out evaluation, and metrics of one's own on its labelled tokens.

Shapes: R labelled tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from transformers.trainer_utils import PredictionOutput, denumpify_detensorize

from maskwise.errors import InputError
from maskwise.evaluation.held_out import HeldOutEval, HeldOutResult, evaluate_mlm, make_held_out_eval, sum_over_ranks
from maskwise.masking.masker import Masker
from maskwise.models.sparse import SparseHead
from maskwise.training.labelled_predictions import LabelledPredictions
from maskwise.training.resumable import ResumableTrainer
from maskwise.training.rows_given import check_rows


class EvaluatingTrainer(ResumableTrainer):
    """A Trainer whose `evaluate` and `predict` ask the fixed masks of the held-out evaluation.

    `compute_metrics` gets an `EvalPrediction` of the labelled tokens of all processes: predictions [R, V], or what
    `preprocess_logits_for_metrics` makes of a batch of them, and `label_ids` [R].
    """

    masker: Masker
    head: SparseHead
    eval_dataset: Any

    def evaluate(self, eval_dataset: Any = None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Returns the evaluation's figures, logged like any metrics.

        Args:
            eval_dataset: Rows, a `HeldOutEval`, or several by name; by default what the trainer was given.
            ignore_keys: Of no use here: a masked language model's logits are all that is looked at.
            metric_key_prefix: What stands in front of each name.

        Returns:
            `{prefix}_loss` (nats per labelled token, without label smoothing), `_perplexity`, `_top1`, `_top5`, each
            but the perplexity by fifths of token frequency too, and what `compute_metrics` returns. Several evaluations
            have their name after the prefix.

        Raises:
            InputError: If there is nothing to evaluate on.
        """
        held_out = self.eval_dataset if eval_dataset is None else as_held_out(eval_dataset, self.masker)
        if held_out is None:
            raise InputError("There is nothing to evaluate on: give MaskingTrainer an eval_dataset, or evaluate(rows).")
        if isinstance(held_out, Mapping):
            parts = [self.evaluate(part, None, f"{metric_key_prefix}_{name}") for name, part in held_out.items()]
            return {key: value for part in parts for key, value in part.items()}
        metrics, _ = self._metrics(held_out, metric_key_prefix)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(self, test_dataset: Any, ignore_keys=None, metric_key_prefix: str = "test") -> PredictionOutput:
        """Returns the predictions at the tokens that the held-out evaluation of `test_dataset` masks.

        Args:
            test_dataset: Rows, or a `HeldOutEval`.
            ignore_keys: Of no use here.
            metric_key_prefix: What stands in front of each metric's name.

        Returns:
            `predictions` [R, V], or what `preprocess_logits_for_metrics` makes of them; `label_ids` [R]; `metrics` as
            `evaluate` returns them.
        """
        held_out = _one(test_dataset, self.masker, "test_dataset")
        metrics, found = self._metrics(held_out, metric_key_prefix, keep=True)
        assert found is not None
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return PredictionOutput(found.predictions, found.label_ids, metrics)

    def grade(self, held_out: HeldOutEval, rows: LabelledPredictions | None = None) -> HeldOutResult:
        """Returns the model's figures, each process evaluating its share, in the precision of training."""
        with self.precision():
            result = evaluate_mlm(
                self.model,
                held_out,
                head=self.head,
                share=self._share,
                batch_size=self.args.eval_batch_size,
                each=rows.add if rows else None,
            )
        return sum_over_ranks(result)

    def precision(self) -> AbstractContextManager:
        """Returns autocast as the training arguments ask for it.

        The Trainer has it inside the model's forward alone; here products are also taken outside, in scores and losses.
        """
        return self.accelerator.autocast()

    @property
    def _share(self) -> tuple[int, int]:
        return self.args.process_index, self.args.world_size

    def _metrics(self, held_out: HeldOutEval, prefix: str, *, keep: bool = False) -> tuple[dict[str, float], Any]:
        """Returns the figures, and the predictions if they are kept or `compute_metrics` needs them."""
        own = self.compute_metrics if keep or not self.args.prediction_loss_only else None
        rows = LabelledPredictions(self.preprocess_logits_for_metrics) if own or keep else None
        figures: dict[str, Any] = self.grade(held_out, rows).as_dict()
        found = rows.gather(self._share, joined=self.args.eval_do_concat_batches) if rows else None
        if own is not None and found is not None:
            figures |= _own_figures(own(found), figures, prefix)
        return {f"{prefix}_{name}": value for name, value in figures.items()}, found


def as_held_out(dataset: Any, masker: Masker) -> HeldOutEval | dict[str, HeldOutEval] | None:
    """Returns the evaluation of rows: as it is if it is one, of each value if they are several by name."""
    if dataset is None or isinstance(dataset, HeldOutEval):
        return dataset
    if type(dataset) is dict or type(dataset).__name__ == "DatasetDict":
        return {name: _one(part, masker, f"eval_dataset[{name!r}]") for name, part in dataset.items()}
    return _one(dataset, masker, "eval_dataset")


def _one(rows: Any, masker: Masker, name: str) -> HeldOutEval:
    if isinstance(rows, HeldOutEval):
        return rows
    check_rows(rows, name)
    if not hasattr(rows, "__len__"):
        raise InputError(f"{name} is a stream, and an evaluation asks the same rows every time: give rows to count.")
    return make_held_out_eval(rows, masker.tokenizer, model_inputs=masker.model_inputs)


def _own_figures(returned: Any, known: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    if not isinstance(returned, Mapping):
        raise InputError(f"compute_metrics returns a dictionary of numbers; it returned {type(returned).__name__}.")
    plain: Any = denumpify_detensorize(dict(returned))
    own = {str(name).removeprefix(f"{prefix}_"): value for name, value in plain.items()}
    if taken := sorted(own.keys() & known.keys()):
        raise InputError(f"compute_metrics returned {taken[0]!r}, which is a figure of the evaluation. Rename it.")
    return own
