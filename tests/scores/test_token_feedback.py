"""Scores that learn from the loss, against tables computed anew from dense logits of the same model."""

import math

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, TrainingArguments

from maskwise.errors import InputError
from maskwise.masking import rates
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.row_notes import MASKED, dense_notes
from maskwise.masking.score import Labelled, StatefulScore, uniform
from maskwise.masking.score_context import RunPlan, ScoreContext, TrainState
from maskwise.masking.vocabulary import Vocabulary
from maskwise.scores.token_feedback import TokenAccuracy, TokenEntropy, TokenLoss
from maskwise.testing import check_score
from maskwise.training.distill import Distillation
from maskwise.training.trainer import MaskingTrainer

TEXT = "the girl walked by the river and a dog was quickly playing in her green garden on a good day"
KINDS = {"correct": TokenAccuracy, "nll": TokenLoss, "entropy": TokenEntropy}


@pytest.fixture
def rows(tiny_tokenizer):
    return [
        {"input_ids": ids, "tags": [place % 3 - 1 for place in range(len(ids))]}
        for ids in (tiny_tokenizer(" ".join(TEXT.split()[: 6 + i % 12]))["input_ids"] for i in range(48))
    ]


@pytest.fixture
def plain_model(tiny_tokenizer):
    """Without dropout, so that a second forward pass gives the same logits; sharp, so that it is right at times."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertForMaskedLM(config)


def trainer_of(model, masker, rows, out, trainer=MaskingTrainer, distillation=None, **options):
    defaults = {"max_steps": 8, "per_device_train_batch_size": 4, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, learning_rate=1e-2, **defaults | options)
    return trainer(model, args, masker=masker, train_dataset=rows, distillation=distillation)


class Recomputing(MaskingTrainer):
    """Keeps, for every micro-batch, the dense logits of the model as it was and the labels."""

    def __init__(self, *args, **options):
        self.seen = []
        super().__init__(*args, **options)

    def training_step(self, model, inputs, num_items_in_batch=None):
        with torch.no_grad():
            given = {key: value for key, value in inputs.items() if key != "labels"}
            logits_BTV = model(**given).logits
        labelled_BT = inputs["labels"] != IGNORE
        fate_R = torch.where(inputs["input_ids"][labelled_BT] == self.masker.vocabulary.mask_token_id, MASKED, 1)
        self.seen.append((self.state.global_step, logits_BTV[labelled_BT], inputs["labels"][labelled_BT], fate_R))
        return super().training_step(model, inputs, num_items_in_batch)


def reference(kind, seen, tokenizer, schedule, num_steps, refresh):
    """The table from its definition: loops over types, float64."""
    eligible_V = Vocabulary.of(tokenizer).eligible_V
    types = eligible_V.nonzero()[:, 0].tolist()
    weights = {one: schedule(0.0) for one in types}
    for step in range(refresh, num_steps + 1, refresh):
        values = {one: [] for one in types}
        for at, logits_RV, targets_R, fate_R in seen:
            if step - refresh <= at < step:
                notes = dense_notes(logits_RV, targets_R, set(KINDS))
                value_R = dict(zip(KINDS, (notes.is_correct_R, notes.nll_R, notes.entropy_R), strict=True))[kind]
                for value, target, fate in zip(value_R.tolist(), targets_R.tolist(), fate_R.tolist(), strict=True):
                    if fate == MASKED:
                        values[target].append(value)
        hardness = HARDNESS[kind](values, len(types))
        rate = schedule(step / num_steps)
        weights = {one: max(0.2 * weights[one] + 0.8 * rate * hardness[one], 0.005) for one in types}
        total = sum(weights.values())
        weights = {one: rate * len(types) * weight / total for one, weight in weights.items()}
    return torch.tensor([weights.get(one, 0.0) for one in range(len(eligible_V))], dtype=torch.float64)


def _accuracy(values, num_types):
    return {one: 1 - (sum(found) + 0.5) / (len(found) + 1) for one, found in values.items()}


def _loss(values, num_types):
    means = {one: (sum(found) + math.log(num_types)) / (len(found) + 1) for one, found in values.items()}
    low, high = min(means.values()), max(means.values())
    return {one: (mean - low) / (high - low) for one, mean in means.items()}


def _entropy(values, num_types):
    seen = [sum(found) / len(found) for found in values.values() if found]
    typical = sum(seen) / len(seen)
    return {one: (sum(found) + typical) / (len(found) + 1) / math.log(num_types) for one, found in values.items()}


HARDNESS = {"correct": _accuracy, "nll": _loss, "entropy": _entropy}


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_is_that_of_the_definition(kind, plain_model, tiny_tokenizer, rows, tmp_path):
    """Two refreshes and more, a rate that falls, types that are never seen, accumulation of 4, 80/10/10."""
    score, schedule = KINDS[kind](tiny_tokenizer, refresh=3), rates.linear(0.4, 0.15)
    masker = Masker(score, tiny_tokenizer, rate=schedule, budget="bernoulli", corruption=(0.8, 0.1, 0.1))
    trainer = trainer_of(
        plain_model, masker, rows, tmp_path, Recomputing, gradient_accumulation_steps=4, per_device_train_batch_size=2
    )
    trainer.train()
    assert len(trainer.seen) == 32
    expected_V = reference(kind, trainer.seen, tiny_tokenizer, schedule, 8, refresh=3)
    torch.testing.assert_close(score.weights_K, expected_V, rtol=1e-4, atol=1e-6)
    assert score.weights_K.unique().numel() > 5
    left = sum((fate_R == MASKED).sum() for at, _, _, fate_R in trainer.seen if at >= 6)
    assert score.seen_K.sum() == left


class Recording(StatefulScore):
    """Uniform, and keeps what it was told."""

    feedback = frozenset({"nll", "correct", "entropy"})

    def __init__(self):
        self._told = []

    def __call__(self, batch):
        return uniform(batch)

    def learn(self, batch, labelled):
        assert {"eligible", "state", "example_id"} <= batch.keys()
        assert (batch["input_ids"][labelled.row_R, labelled.position_R] == labelled.token_id_R).all()
        self._told.append(labelled)


@pytest.mark.parametrize("way", ["streamed", "dense", "distilled", "accumulated"])
def test_every_way_to_the_loss_tells_the_same(way, plain_model, tiny_tokenizer, rows, tmp_path, monkeypatch):
    score = Recording()
    options = {"gradient_accumulation_steps": 3} if way == "accumulated" else {}
    distillation = Distillation(plain_model.__class__(plain_model.config), weight=0.5) if way == "distilled" else None
    trainer = trainer_of(
        plain_model, Masker(score, tiny_tokenizer, corruption=(0.8, 0.1, 0.1)), rows, tmp_path, Recomputing,
        distillation, max_steps=2, **options,
    )  # fmt: skip
    if way == "dense":
        monkeypatch.setattr(trainer.head, "is_linear", lambda inputs: False)
        monkeypatch.setattr(trainer, "take_model", lambda: None)
    trainer.train()
    assert len(score._told) == len(trainer.seen) == (6 if way == "accumulated" else 2)
    for labelled, (_, logits_RV, targets_R, _) in zip(score._told, trainer.seen, strict=True):
        notes = dense_notes(logits_RV, targets_R, score.feedback)
        assert labelled.token_id_R.tolist() == targets_R.tolist()
        torch.testing.assert_close(labelled.nll_R, notes.nll_R, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(labelled.entropy_R, notes.entropy_R, rtol=1e-4, atol=1e-4)
        assert (labelled.is_correct_R == notes.is_correct_R).float().mean() > 0.95
        assert not labelled.nll_R.requires_grad


def test_evaluations_teach_nothing(plain_model, tiny_tokenizer, rows, tmp_path):
    score = Recording()
    trainer = trainer_of(plain_model, Masker(score, tiny_tokenizer), rows, tmp_path, max_steps=2)
    trainer.evaluate(rows)
    assert score._told == []
    trainer.train()
    trainer.evaluate(rows)
    assert len(score._told) == 2


def test_a_run_that_asks_for_nothing_notes_nothing(plain_model, tiny_tokenizer, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.training.trainer.noted_linear_mlm_loss", None)
    monkeypatch.setattr("maskwise.training.trainer.labelled_rows", None)
    trainer_of(plain_model, Masker(uniform, tiny_tokenizer), rows, tmp_path, max_steps=1).train()


def test_a_resumed_run_ends_with_the_table_of_the_unbroken_one(plain_model, tiny_tokenizer, rows, tmp_path):
    start = {name: value.clone() for name, value in plain_model.state_dict().items()}

    def run(out, **options):
        plain_model.load_state_dict(start)
        score = TokenLoss(tiny_tokenizer, refresh=3)
        options = {"save_strategy": "steps", "save_steps": 4} | options
        return score, trainer_of(plain_model, Masker(score, tiny_tokenizer, budget="bernoulli"), rows, out, **options)

    whole, trainer = run(tmp_path / "whole")
    trainer.train()
    resumed, trainer = run(tmp_path / "resumed")
    (tmp_path / "whole" / "checkpoint-4").rename(tmp_path / "checkpoint-4")
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    for name in ("weights_K", "seen_K", "sums_K"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name)), name
    assert whole.seen_K.sum() > 0


def test_weights_are_kept_for_the_values_of_a_column(plain_model, tiny_tokenizer, rows, tmp_path):
    score = TokenLoss(tiny_tokenizer, refresh=2, key="tags", num_values=2)
    masker = Masker(score, tiny_tokenizer, budget="bernoulli", rate=0.5)
    assert masker.columns == ("tags",)
    trainer_of(plain_model, masker, rows, tmp_path).train()
    assert score.weights_K.shape == (2,) and score.weights_K[0] != score.weights_K[1]
    assert score.weights_K.sum().item() == pytest.approx(0.5 * 2)
    batch = {
        "input_ids": torch.ones(1, 3, dtype=torch.int64),
        "tags": torch.tensor([[-1, 0, 1]]),
        "state": TrainState(),
    }
    assert score(batch).tolist()[0] == pytest.approx([0.5, *score.weights_K.tolist()])


def test_tokens_weigh_the_same_while_the_uniform_phase_lasts(tiny_tokenizer):
    score = TokenAccuracy(tiny_tokenizer, share=0.3)
    score.weights_K = torch.arange(len(tiny_tokenizer), dtype=torch.float64)
    batch = {"input_ids": torch.tensor([[5, 9]]), "state": TrainState(progress=0.29)}
    assert score(batch).tolist() == [[1.0, 1.0]] and score.source(batch["state"]) == "uniform"
    assert score(batch | {"state": TrainState(progress=0.3)}).tolist() == [[5.0, 9.0]]


def test_a_type_that_is_predicted_is_masked_less(tiny_tokenizer):
    score = TokenAccuracy(tiny_tokenizer, refresh=1)
    score.on_epoch_start(ScoreContext.alone())
    ids_R = torch.tensor([7, 7, 8])
    place_R = torch.zeros(3, dtype=torch.int64)
    counted_R = torch.tensor([True, True, False])
    score.learn({}, Labelled(ids_R, place_R, place_R, place_R, place_R, counted_R, is_correct_R=torch.ones(3)))
    score.on_step_end(ScoreContext.alone(state=TrainState(step=1)))
    assert score.weights_K[7] < score.weights_K[8] == score.weights_K[9]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_keep_the_contract(kind, tiny_tokenizer):
    check_score(KINDS[kind](tiny_tokenizer), tiny_tokenizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refresh": 0}, "refresh is a whole number of optimizer steps"),
        ({"newest": 0.0}, "newest is above 0"),
        ({"floor": 1.0}, "floor is above 0 and below 1"),
        ({"key": "tags"}, "key and num_values go together"),
        ({"steps": 3, "share": 0.1}, "Give the uniform phase once"),
        ({"share": 1.0}, "a share below 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, message, tiny_tokenizer):
    with pytest.raises(InputError, match=message):
        TokenLoss(tiny_tokenizer, **options)


def test_a_run_that_would_end_inside_the_uniform_phase_is_refused(tiny_tokenizer):
    with pytest.raises(
        InputError, match=r"The run of 10 steps \(1 epochs\) would end before TokenLoss's uniform phase"
    ):
        TokenLoss(tiny_tokenizer, steps=10).check_run(RunPlan(10, 1.0))


def test_feedback_of_another_name_is_refused_where_the_trainer_is_made(plain_model, tiny_tokenizer, rows, tmp_path):
    class Mistaken(Recording):
        feedback = frozenset({"loss"})

    with pytest.raises(InputError, match=r"Mistaken asks for feedback .loss.\. Known: nll, correct, entropy"):
        trainer_of(plain_model, Masker(Mistaken(), tiny_tokenizer), rows, tmp_path)
