import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, TrainingArguments

from fixtures.tuned import sentences
from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import complete_checkpoints
from maskwise.lab.tuning.best_weights import BestWeights
from maskwise.lab.tuning.fit import TuningTrainer, counted_tuning_flops, delete_checkpoints, fit, training_options
from maskwise.lab.tuning.load import encode_texts, load_with_head
from maskwise.lab.tuning.settings import TuneSettings

SETTINGS = TuneSettings(
    learning_rate=3e-3, batch_size=16, max_epochs=4, bf16=False, checkpoint_seconds=0, micro_batch_tokens=64
)


@pytest.fixture
def loaded(checkpoint):
    return load_with_head(AutoModelForSequenceClassification, str(checkpoint), seed=0, freeze=False, num_labels=2)


def made_up(loaded, number, seed):
    texts, labels = zip(*sentences(number, seed), strict=True)
    return encode_texts(loaded.tokenizer, [texts], labels, 64)[0]


def run(loaded, out, settings=SETTINGS, grade=None, seed=0):
    train, select = made_up(loaded, 96, 1), made_up(loaded, 40, 2)
    labels = np.array([example["labels"] for example in select])

    def accuracy(logits):
        return float(np.mean(np.stack(logits).argmax(-1) == labels))

    return fit(loaded.model, settings, train, select, grade or accuracy, pad_id=0, seed=seed, out=out, show=False)


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_step_in_micro_batches_has_the_gradient_of_the_whole_batch(loaded, tmp_path):
    model = loaded.model
    examples = made_up(loaded, 16, 3)
    gradients = []
    for most_tokens in (1, 64, 10_000):
        settings = SETTINGS.model_copy(update={"micro_batch_tokens": most_tokens})
        one = copy.deepcopy(model)
        for module in one.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        best = BestWeights(one, 1)
        args = TrainingArguments(**training_options(settings, 0, tmp_path))
        trainer = TuningTrainer(one, args, settings, examples, examples, lambda logits: 0.0, best, 0)
        batches = trainer._cut(examples)
        assert (len(batches) == 1) == (most_tokens == 10_000)
        trainer.training_step(one, batches)
        gradients.append(torch.cat([weight.grad.flatten() for weight in one.parameters()]))
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-6, rtol=1e-4)
    assert gradients[0].abs().max() > 1e-3


def test_it_learns_and_the_best_epoch_is_what_comes_back(loaded, tmp_path):
    scores = iter((0.2, 0.9, 0.3, 0.4))
    seen = []

    def grade(logits):
        seen.append(np.stack(logits))
        return next(scores)

    fitted = run(loaded, tmp_path, grade=grade)
    assert fitted.epoch == 2
    assert [epoch["score"] for epoch in fitted.history] == [0.2, 0.9, 0.3, 0.4]
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
    with torch.no_grad():
        example = made_up(loaded, 40, 2)[0]
        logits = fitted.model(**{key: torch.tensor([value]) for key, value in example.items()}).logits
    np.testing.assert_allclose(logits[0], seen[1][0], atol=1e-5)
    assert np.abs(seen[1][0] - seen[3][0]).max() > 1e-3


def test_it_stops_after_patience_epochs(loaded, tmp_path):
    settings = SETTINGS.model_copy(update={"max_epochs": 30, "patience": 2})
    scores = iter((0.5, *[0.1] * 30))
    fitted = run(loaded, tmp_path, settings, grade=lambda logits: next(scores))
    assert (fitted.epoch, len(fitted.history)) == (1, 3)


class Interrupt(Exception):
    """Stands for a kill."""


def interrupted(scores):
    """A grade that gives these scores and is then interrupted."""
    left = list(scores)

    def grade(logits):
        if not left:
            raise Interrupt
        return left.pop(0)

    return grade


def test_a_run_stopped_at_any_checkpoint_ends_at_the_same_weights(checkpoint, tmp_path):
    """Each checkpoint of an unbroken run, resumed alone: with dropout, so the generators must come back too."""

    def fresh():
        return load_with_head(AutoModelForSequenceClassification, str(checkpoint), seed=0, freeze=False, num_labels=2)

    whole = run(fresh(), tmp_path / "whole")
    for stop in (1, 3):
        kept = tmp_path / f"stopped after {stop}"
        with pytest.raises(Interrupt):
            run(fresh(), kept, grade=interrupted([epoch["score"] for epoch in whole.history[:stop]]))
        assert len(complete_checkpoints(kept)) == 1
        again = run(fresh(), kept)
        for key in ("score", "loss"):
            assert [epoch[key] for epoch in again.history] == [epoch[key] for epoch in whole.history]
        assert same(weights(again.model), weights(whole.model))
        delete_checkpoints(kept)
        assert not list(kept.glob("checkpoint-*"))


def test_a_run_is_resumed_from_undamaged_checkpoints_and_on_its_own_examples_alone(checkpoint, tmp_path):
    """Its weights would be of both, and the result of neither."""

    def fresh():
        return load_with_head(AutoModelForSequenceClassification, str(checkpoint), seed=0, freeze=False, num_labels=2)

    with pytest.raises(Interrupt):
        run(fresh(), tmp_path, grade=interrupted([0.5, 0.6]))
    with pytest.raises(InputError, match=r"of another run(.|\n)*learning_rate: 0.003, now 0.001"):
        run(fresh(), tmp_path, SETTINGS.model_copy(update={"learning_rate": 1e-3}))
    other = fresh()
    other.model.classifier.weight.data += 1
    with pytest.raises(InputError, match=r"of another run(.|\n)*checkpoint: "):
        run(other, tmp_path)
    (kept,) = complete_checkpoints(tmp_path)
    (kept / "optimizer.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"(?s)Every checkpoint in .* is damaged:.*optimizer.pt has 7 bytes"):
        run(fresh(), tmp_path)


def test_another_seed_gives_another_order(checkpoint, tmp_path):
    found = []
    for seed in (0, 1):
        one = load_with_head(AutoModelForSequenceClassification, str(checkpoint), seed=0, freeze=False, num_labels=2)
        found.append(weights(run(one, tmp_path / str(seed), SETTINGS, seed=seed).model))
    assert not same(*found)


def test_a_loss_that_is_not_finite_stops_the_run(loaded, tmp_path):
    loaded.model.classifier.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match=r"not finite at step .*tune\.learning_rate"):
        run(loaded, tmp_path)


def test_flops_are_those_of_the_body_in_training_or_frozen(loaded):
    """Every weight matrix of the layers once a token, and the two products of attention over the other tokens."""
    config, length = loaded.model.config, 20
    matrices = (w for name, w in loaded.model.bert.encoder.named_parameters() if w.dim() == 2)
    forward = 2 * sum(w.numel() for w in matrices) + 4 * config.num_hidden_layers * config.hidden_size * length
    assert counted_tuning_flops(config, 19.6, passes=3) == 3 * forward
    assert counted_tuning_flops(config, length, passes=1) == forward
