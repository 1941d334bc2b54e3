"""Columns of the rows under MaskingTrainer: the score's, the unit's and the model's; and steps without a label."""

import copy

import pytest
import torch
from transformers import TrainingArguments

from maskwise.evaluation.held_out import evaluate_mlm
from maskwise.masking import rates
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.scores.model import Entropy
from maskwise.training.distill import Distillation
from maskwise.training.indexed_rows import IndexedRows
from maskwise.training.trainer import MaskingTrainer

NOUN = 1


@pytest.fixture
def rows(tiny_tokenizer):
    """Pairs of sentences of unequal lengths, each token with a tag and with the entity that it mentions."""
    first, rest = "the girl walked", ["by", "the", "river", "and", "a", "dog", "was", "playing"]
    encoded = [tiny_tokenizer(first, " ".join(rest[: 2 + i % 6])) for i in range(16)]
    return [
        {
            "input_ids": row["input_ids"],
            "token_type_ids": [int(place > 4) for place in range(len(row["input_ids"]))],
            "tags": [place % 3 for place in range(len(row["input_ids"]))],
            "entities": [place % 2 for place in range(len(row["input_ids"]))],
            "text": "not for anybody",
        }
        for row in encoded
    ]


def trainer_of(model, masker, rows, out, **options):
    defaults = {"max_steps": 3, "per_device_train_batch_size": 4, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, logging_steps=1, **defaults | options)
    return MaskingTrainer(model, args, masker=masker, train_dataset=rows, eval_dataset=rows)


def nouns(batch):
    return torch.where(batch["tags"] == NOUN, 1.0, -torch.inf)


def entities(batch):
    return batch["entities"]


def test_scores_and_units_read_their_columns_and_the_model_gets_its_own(tiny_model, tiny_tokenizer, rows, tmp_path):
    masker = Masker(
        nouns, tiny_tokenizer, unit=entities, pick="high", rate=rates.one_unit(), columns=["tags", "entities"]
    )
    trainer = trainer_of(tiny_model, Masker(nouns, tiny_tokenizer, rate=0.9, columns=["tags"]), rows, tmp_path)
    seen = []
    step = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **options: seen.append(dict(inputs)) or step(model, inputs, **options)
    trainer.train()
    assert len(seen) == 3
    for inputs in seen:
        assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids", "labels"}
        places = torch.arange(inputs["labels"].shape[1]).expand_as(inputs["labels"])
        assert (places[inputs["labels"] != IGNORE] % 3 == NOUN).all() and (inputs["labels"] != IGNORE).any()
    batch = trainer_of(tiny_model, masker, rows, tmp_path).data_collator(IndexedRows(rows).__getitems__([0, 1]))
    assert {"tags", "entities", "token_type_ids"} <= batch.keys() and "text" not in batch


def test_segments_reach_the_loss_and_the_evaluation(tiny_model, tiny_tokenizer, rows, tmp_path):
    """Without them every sentence would be of the first segment, and nothing would say so."""
    with torch.no_grad():
        tiny_model.bert.embeddings.token_type_embeddings.weight[1] = torch.linspace(-3, 3, 32)
    trainer = trainer_of(tiny_model, Masker(uniform, tiny_tokenizer), rows, tmp_path, learning_rate=0.0)
    batch = trainer.masker(trainer.data_collator(IndexedRows(rows).__getitems__(list(range(16)))))
    tiny_model.eval()
    with torch.no_grad():
        right = tiny_model(**batch).loss.item()
        without = tiny_model(**{key: value for key, value in batch.items() if key != "token_type_ids"}).loss.item()
        num_labels = (batch["labels"] != IGNORE).sum()
        found = trainer.compute_loss(tiny_model, dict(batch), num_items_in_batch=num_labels).item()
    assert found == pytest.approx(right, abs=1e-5) and abs(found - without) > 1e-3

    held_out = trainer.eval_dataset
    total = count = 0.0
    for asked in held_out.batches(inputs={"token_type_ids"}):
        with torch.no_grad():
            labels_BT = asked["labels"]
            total += (tiny_model(**asked).loss * (labels_BT != IGNORE).sum()).item()
            count += (labels_BT != IGNORE).sum().item()
    assert evaluate_mlm(tiny_model, held_out).grade("loss") == pytest.approx(total / count, abs=1e-5)


def test_what_the_masker_was_told_of_the_models_inputs_holds_for_the_evaluation_too(
    tiny_model, tiny_tokenizer, rows, tmp_path
):
    with torch.no_grad():
        tiny_model.bert.embeddings.token_type_embeddings.weight[1] = torch.linspace(-3, 3, 32)
    found = {}
    for inputs in (None, ["token_type_ids"], []):
        masker = Masker(uniform, tiny_tokenizer, model_inputs=inputs)
        found[str(inputs)] = trainer_of(tiny_model, masker, rows, tmp_path).evaluate()["eval_loss"]
    assert found["None"] == found["['token_type_ids']"] != found["[]"]


def test_a_score_reads_the_text_as_the_model_does_with_all_that_its_forward_names(tiny_model, tiny_tokenizer, rows):
    """Segments and positions: without them the entropies would be those of another text."""
    batch = pad_batch(rows[:4], 0, inputs={"token_type_ids"})
    batch["position_ids"] = torch.arange(batch["input_ids"].shape[1]).flip(0).expand_as(batch["input_ids"])
    masker = Masker(Entropy(tiny_model, compiled=False), tiny_tokenizer)
    prepared = masker.prepare(batch)
    with torch.no_grad():
        logits_BTV = tiny_model.eval()(**batch).logits
    expected_BT = torch.distributions.Categorical(logits=logits_BTV).entropy()
    eligible_BT = prepared["eligible"]
    assert torch.allclose(masker.scores(prepared)[eligible_BT], expected_BT[eligible_BT], atol=1e-5)


@pytest.mark.parametrize(
    ("score", "steps", "loss"),
    [
        (uniform, 1, "streamed"),
        (uniform, 4, "streamed"),
        (Entropy(compiled=False), 1, "streamed"),
        (uniform, 1, "dense"),
        (uniform, 1, "distilled"),
        (uniform, 4, "distilled"),
    ],
)
def test_steps_without_a_label_have_a_loss_of_0_and_leave_finite_weights(
    tiny_model, tiny_tokenizer, tmp_path, score, steps, loss
):
    """Drawn token by token there is no floor: at a small rate most micro-batches have nothing to predict."""
    rows = [{"input_ids": [2, 20 + i, 3]} for i in range(8)] + [{"input_ids": [2, 3]}] * 8
    masker = Masker(score, tiny_tokenizer, pick="sample", budget="bernoulli", rate=0.02)
    options = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": steps, "max_steps": 8}
    trainer = trainer_of(tiny_model, masker, rows, tmp_path, **options)
    if loss == "dense":
        trainer.head.is_linear = lambda inputs: False
    if loss == "distilled":
        trainer.distillation = Distillation(copy.deepcopy(tiny_model), weight=0.5)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 8 and losses.count(0.0) >= 4
    assert all(torch.isfinite(torch.tensor(losses)))
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
