"""A model's entropy as a score: of any architecture, as teacher and as student, at no cost to the run around it.

Shapes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures import ARCHITECTURES, LENGTH, VOCAB_SIZE, WITHOUT_DECODER, random_batch, random_model
from maskwise.masking.score_context import TrainState
from maskwise.models.sparse import SparseHead
from maskwise.scores import model as scores
from maskwise.scores.model import Entropy, Surprisal

DROPOUT = dict.fromkeys(("hidden_dropout_prob", "hidden_dropout", "dropout", "embedding_dropout"), 0.2)
WITHOUT_DROPOUT = {"esmc", "eurobert", "modernvbert", "neomme", "reformer", "ultrabert", "ultravbert"}
NATS = 1e-5  # float32 products of other shapes round differently; the logits here go up to 8


def sharp_model(architecture: str):
    """Returns the architecture with dropout, in training mode, sure of some tokens and not of others."""
    dropout = {} if architecture == "reformer" else DROPOUT
    model = random_model(architecture, **dropout).train()
    decoder = model.get_output_embeddings() or model.perceiver.input_preprocessor.embeddings
    with torch.no_grad():
        decoder.weight *= 6 / model(**random_batch()[0])[0].abs().max()
    return model


def batch_of(ids_BT: Tensor, eligible_BT: Tensor) -> dict[str, Any]:
    return {
        "input_ids": ids_BT, "eligible": eligible_BT, "state": TrainState(), "example_id": torch.arange(len(ids_BT)),
        "mask_token_id": 4,
    }  # fmt: skip


def dense_entropy(model: nn.Module, ids_BT: Tensor) -> Tensor:
    with torch.no_grad():
        log_p_BTV = model(input_ids=ids_BT)[0].double().log_softmax(-1)
    return -(log_p_BTV.exp() * log_p_BTV).sum(-1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_entropy_of_every_architecture_is_the_dense_one_as_teacher_and_as_student(architecture):
    """Dropout in a score, a lost bias, or a mode left behind would train on, at a plausible-looking loss."""
    model, (inputs, eligible_BT, _) = sharp_model(architecture), random_batch()
    batch = batch_of(inputs["input_ids"], eligible_BT)
    with torch.no_grad():
        noisy_BTV = model(**inputs)[0]
    frozen = next(module for module in model.modules() if not [*module.children()]).eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    student = Entropy(compiled=False)
    student.bind(model)
    of_student_BT = student(batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes
    assert not frozen.training

    model.eval()
    teacher = Entropy(model, compiled=False)
    teacher.bind(random_model(architecture))
    of_teacher_BT = teacher(batch)
    expected_BT = dense_entropy(model, inputs["input_ids"])
    assert architecture in WITHOUT_DROPOUT or not torch.equal(model(**inputs)[0], noisy_BTV)
    assert expected_BT[eligible_BT].std() > 0.05, "an entropy that is the same everywhere tests nothing"
    for found_BT in (of_student_BT, of_teacher_BT):
        torch.testing.assert_close(found_BT[eligible_BT].double(), expected_BT[eligible_BT], rtol=0, atol=NATS)
        assert not found_BT[~eligible_BT].any()


def test_a_model_that_draws_while_it_is_evaluated_leaves_the_random_state_alone():
    """Some attentions are random in eval mode too; a run's dropout would then depend on how often it was scored."""
    model, (inputs, eligible_BT, _) = random_model("bert"), random_batch()
    drawn = []
    model.bert.register_forward_pre_hook(lambda *_: drawn.append(torch.rand(3)))
    before = torch.get_rng_state()
    Entropy(model, compiled=False)(batch_of(inputs["input_ids"], eligible_BT))
    assert drawn
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("architecture", sorted(WITHOUT_DECODER))
@pytest.mark.parametrize("kind", [Entropy, Surprisal])
def test_dense_logits_are_made_for_a_few_sequences_at_a_time(architecture, kind, monkeypatch):
    """32,768 rows of a vocabulary of 30,522 are 4 GB."""
    model, (inputs, eligible_BT, _) = random_model(architecture).eval(), random_batch()
    ids_BT, eligible_BT = inputs["input_ids"].repeat(3, 1)[:7], eligible_BT.repeat(3, 1)[:7]
    ids_BT[3:] = ids_BT[3:].flip(-1)
    whole_BT = kind(model, compiled=False)(batch_of(ids_BT, eligible_BT))
    made, logits = [], SparseHead.logits

    def noted(*arguments):
        made.append(logits(*arguments))
        return made[-1]

    monkeypatch.setattr(SparseHead, "logits", noted)
    monkeypatch.setattr(scores, "DENSE_POSITIONS", 2 * LENGTH + 1)
    found_BT = kind(model, compiled=False)(batch_of(ids_BT, eligible_BT))
    assert [len(logits_RV) for logits_RV in made] == [int(part.sum()) for part in eligible_BT.split(2)]
    assert {logits_RV.shape[1] for logits_RV in made} == {VOCAB_SIZE}
    assert found_BT[eligible_BT].all()
    torch.testing.assert_close(found_BT, whole_BT, rtol=0, atol=NATS)
