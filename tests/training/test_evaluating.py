"""Evaluation inside the Trainer: before training, by name, and with metrics of one's own.

Shapes: R labelled tokens, V vocabulary.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwise.errors import InputError
from maskwise.evaluation.held_out import make_held_out_eval
from maskwise.masking.corrupt import IGNORE


class Metrics:
    """A `compute_metrics` that keeps what it gets and returns the loss and the share of right predictions."""

    def __init__(self):
        self.calls = []

    def __call__(self, predictions):
        self.calls.append(predictions)
        logits_RV, labels_R = torch.tensor(predictions.predictions), torch.tensor(predictions.label_ids)
        right = (logits_RV.argmax(-1) == labels_R).float().mean().item()
        return {"mine": F.cross_entropy(logits_RV.double(), labels_R).item(), "eval_right": np.float64(right)}


@pytest.fixture
def expected(tiny_model, tiny_tokenizer, sentences):
    """The logits [R, V] and labels [R] of the held-out masks, by the stock model."""
    held_out = make_held_out_eval(sentences, tiny_tokenizer)
    logits, labels = [], []
    for batch in held_out.batches():
        with torch.no_grad():
            is_asked_BT = batch["labels"] != IGNORE
            logits.append(tiny_model.eval()(**batch).logits[is_asked_BT])
            labels.append(batch["labels"][is_asked_BT])
    return torch.cat(logits), torch.cat(labels)


def test_metrics_of_ones_own_get_the_labelled_tokens_of_the_whole_evaluation(make_trainer, sentences, expected):
    """They were never called, and nothing said so."""
    metrics = Metrics()
    trainer = make_trainer({"eval_dataset": sentences, "compute_metrics": metrics}, per_device_eval_batch_size=3)
    figures = trainer.evaluate()
    logits_RV, labels_R = expected
    assert len(metrics.calls) == 1 and len(labels_R) > 20
    found = metrics.calls[0]
    assert found.predictions.shape == logits_RV.shape
    ours = sorted(zip(found.label_ids.tolist(), np.round(found.predictions, 3).tolist(), strict=True))
    stock = sorted(zip(labels_R.tolist(), logits_RV.round(decimals=3).tolist(), strict=True))
    np.testing.assert_allclose([row for _, row in ours], [row for _, row in stock], atol=2e-3)
    loss = F.cross_entropy(logits_RV.double(), labels_R).item()
    assert figures["eval_mine"] == pytest.approx(loss, abs=1e-5)
    assert figures["eval_loss"] == pytest.approx(loss, abs=1e-5)
    assert figures["eval_right"] == pytest.approx(figures["eval_top1"], abs=1e-6)
    assert trainer.state.log_history[-1]["eval_mine"] == figures["eval_mine"]


def test_logits_can_be_cut_down_before_they_are_kept(make_trainer, sentences, expected):
    def best(logits_RV, labels_R):
        assert logits_RV.shape[0] == labels_R.shape[0] and (labels_R != IGNORE).all()
        return logits_RV.argmax(-1)

    given = {
        "eval_dataset": sentences,
        "preprocess_logits_for_metrics": best,
        "compute_metrics": lambda found: {"mine": float((found.predictions == found.label_ids).mean())},
    }
    logits_RV, labels_R = expected
    right = (logits_RV.argmax(-1) == labels_R).double().mean().item()
    assert make_trainer(given).evaluate()["eval_mine"] == pytest.approx(right, abs=1e-9)


def test_predict_returns_the_predictions_of_the_labelled_tokens(make_trainer, sentences, expected):
    output = make_trainer().predict(sentences)
    logits_RV, labels_R = expected
    assert output.predictions.shape == logits_RV.shape and sorted(output.label_ids) == sorted(labels_R.tolist())
    assert output.metrics["test_loss"] == pytest.approx(F.cross_entropy(logits_RV, labels_R).item(), abs=1e-5)


def test_batches_are_left_apart_if_that_is_asked_for(make_trainer, sentences):
    seen = []
    given = {"eval_dataset": sentences, "compute_metrics": lambda found: seen.append(found) or {"mine": 0.0}}
    make_trainer(given, eval_do_concat_batches=False, per_device_eval_batch_size=8).evaluate()
    assert len(seen[0].predictions) == len(seen[0].label_ids) == 4


def test_metrics_are_left_out_if_only_the_loss_is_wanted(make_trainer, sentences):
    trainer = make_trainer({"eval_dataset": sentences, "compute_metrics": Metrics()}, prediction_loss_only=True)
    assert "eval_mine" not in trainer.evaluate()


@pytest.mark.parametrize(
    ("returned", "message"),
    [(None, "returned NoneType"), (0.5, "returned float"), ({"loss": 1.0}, "'loss', which is a figure")],
)
def test_metrics_that_return_something_else_are_refused(returned, message, make_trainer, sentences):
    trainer = make_trainer({"eval_dataset": sentences, "compute_metrics": lambda found: returned})
    with pytest.raises(InputError, match=message):
        trainer.evaluate()


def test_a_model_is_evaluated_before_it_is_trained(make_trainer, sentences):
    """Evaluation before training raised an error, and the loss of the start is what all later ones are held to."""
    trainer = make_trainer({"eval_dataset": sentences}, eval_on_start=True, eval_strategy="steps", eval_steps=2)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    losses = [record["eval_loss"] for record in trainer.state.log_history if "eval_loss" in record]
    assert losses[0] == before and len(losses) == 3 and losses[-1] < before


def test_an_evaluation_changes_no_step_after_it(make_trainer, sentences):
    runs = [make_trainer({"eval_dataset": sentences}, eval_strategy=strategy) for strategy in ("no", "epoch")]
    losses = []
    for trainer in runs:
        trainer.train()
        losses.append([record["loss"] for record in trainer.state.log_history if "loss" in record])
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_several_evaluations_have_their_names(make_trainer, sentences):
    trainer = make_trainer({"eval_dataset": {"short": sentences[:8], "long": sentences[8:]}})
    figures = trainer.evaluate()
    alone = make_trainer().evaluate(sentences[:8])
    assert figures["eval_short_loss"] == alone["eval_loss"] != figures["eval_long_loss"]


def test_nothing_to_evaluate_on_is_said(make_trainer):
    with pytest.raises(InputError, match="nothing to evaluate on"):
        make_trainer().evaluate()


@pytest.mark.parametrize(
    ("options", "own", "message"),
    [
        ({"metric_for_best_model": "eval_accuracy"}, False, "no evaluation has"),
        ({"metric_for_best_model": "perplexity", "greater_is_better": True}, False, "set greater_is_better=False"),
        ({"metric_for_best_model": "top1", "greater_is_better": False}, True, "set greater_is_better=True"),
    ],
)
def test_a_best_model_by_an_unknown_figure_or_the_wrong_way_round_is_refused(
    options, own, message, make_trainer, sentences
):
    given = {"eval_dataset": sentences} | ({"compute_metrics": Metrics()} if own else {})
    with pytest.raises(InputError, match=message):
        make_trainer(given, eval_strategy="steps", eval_steps=2, **options)
