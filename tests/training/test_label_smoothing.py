"""Label smoothing in each of the three ways to the loss, against a dense reference in double precision.

Shapes: B sequences, T positions, R labelled rows, V vocabulary.
"""

import copy

import pytest
import torch

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.score_context import TrainState
from maskwise.training.distill import Distillation
from maskwise.training.indexed_rows import IndexedRows

EPSILON, WEIGHT, TEMPERATURE = 0.2, 0.3, 2.0
WAYS = ["streamed", "dense", "distilled"]


@pytest.fixture
def teacher(tiny_model):
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        other.bert.embeddings.word_embeddings.weight *= 5
    return other


def logits_at(model, batch):
    """The logits [R, V] of labelled tokens and their targets [R], in double precision."""
    inputs = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
    logits_BTV = model.double().train()(**inputs).logits
    is_labelled_BT = batch["labels"] != IGNORE
    return logits_BTV[is_labelled_BT], batch["labels"][is_labelled_BT]


def reference(model, batch, teacher):
    """The loss of equation (1 - e) -log p(target) + e mean(-log p), mixed with a teacher's if there is one."""
    logits_RV, targets_R = logits_at(model, batch)
    log_p_RV = logits_RV.log_softmax(-1)
    gold_R = -log_p_RV.gather(1, targets_R[:, None])[:, 0]
    loss = ((1 - EPSILON) * gold_R - EPSILON * log_p_RV.mean(-1)).mean()
    if teacher is None:
        return loss
    p_RV = (logits_at(copy.deepcopy(teacher), batch)[0].detach() / TEMPERATURE).softmax(-1)
    divergence_R = (p_RV * (p_RV.log() - (logits_RV / TEMPERATURE).log_softmax(-1))).sum(-1)
    return (1 - WEIGHT) * loss + WEIGHT * TEMPERATURE**2 * divergence_R.mean()


@pytest.mark.parametrize("way", WAYS)
def test_the_loss_and_its_gradients_are_those_of_the_dense_reference(
    way, make_trainer, sentences, teacher, monkeypatch
):
    """The streamed loss is written by hand, gradients too: a factor left out would train something else."""
    distillation = Distillation(teacher, weight=WEIGHT, temperature=TEMPERATURE) if way == "distilled" else None
    trainer = make_trainer({"distillation": distillation}, label_smoothing_factor=EPSILON)
    if way == "dense":
        monkeypatch.setattr(trainer.head, "is_linear", lambda inputs: False)
    batch = trainer.masker(trainer.data_collator(IndexedRows(sentences).__getitems__(list(range(8)))), TrainState())
    expected_model = copy.deepcopy(trainer.model)
    trainer.model.train()
    found = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=(batch["labels"] != IGNORE).sum())
    assert (trainer._step.decoder_inputs is not None) == (way == "streamed")
    expected = reference(expected_model, batch, teacher if distillation else None)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    found.backward()
    expected.backward()
    for (name, parameter), other in zip(trainer.model.named_parameters(), expected_model.parameters(), strict=True):
        assert (parameter.grad is None) == (other.grad is None), name
        if other.grad is not None:
            torch.testing.assert_close(parameter.grad.double(), other.grad, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_run_logs_the_smoothed_loss_and_evaluates_without_smoothing(accumulation, make_trainer, sentences):
    sizes = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
    trainer = make_trainer(
        {"eval_dataset": sentences}, label_smoothing_factor=EPSILON, learning_rate=0.0, max_steps=1, **sizes
    )
    masked, step = [], trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **more: masked.append(dict(inputs)) or step(model, inputs, **more)
    trainer.train()
    pairs = [logits_at(copy.deepcopy(trainer.model), batch) for batch in masked]
    logits_RV, targets_R = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    expected = torch.nn.functional.cross_entropy(logits_RV, targets_R, label_smoothing=EPSILON)
    assert len(masked) == accumulation
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected.item(), abs=1e-4)
    plain = make_trainer({"eval_dataset": sentences})
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], abs=1e-6)
