"""What MaskingTrainer makes of its arguments: names, folders, scores, recipes, and a model that is made anew."""

import copy

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM, TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.masking.score import StatefulScore, uniform
from maskwise.scores.model import Entropy
from maskwise.training.trainer import MaskingTrainer
from training.conftest import logged


@pytest.fixture
def checkpoint(tiny_model, tiny_tokenizer, tmp_path):
    folder = tmp_path / "checkpoint"
    tiny_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


class Counts(StatefulScore):
    """A uniform score that counts the batches it has seen."""

    def __init__(self):
        self.add_state("num_batches", torch.zeros((), dtype=torch.long))

    def __call__(self, batch):
        self.num_batches += 1
        return torch.zeros(batch["input_ids"].shape) + self.num_batches


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "path"])
@pytest.mark.parametrize("masker", ["random", uniform], ids=["recipe", "score"])
def test_a_model_can_be_given_by_its_folder_and_the_masker_by_its_score(checkpoint, masker, as_text, make_trainer):
    model = str(checkpoint) if as_text else checkpoint
    trainer = make_trainer({"model": model, "masker": masker})
    assert isinstance(trainer.model, BertForMaskedLM)
    assert isinstance(trainer.masker, Masker)
    assert trainer.masker.tokenizer.get_vocab() == AutoTokenizer.from_pretrained(checkpoint).get_vocab()
    assert trainer.train().global_step == 4


def test_a_recipe_masks_as_the_masker_made_of_it_does(checkpoint, tiny_model, tiny_tokenizer, make_trainer):
    by_name = make_trainer({"masker": "whole-word", "processing_class": tiny_tokenizer})
    by_object = make_trainer({"masker": Masker.from_recipe("whole-word", tiny_tokenizer)})
    assert by_name.masker.unit == by_object.masker.unit == "word"
    assert by_name.run_identity() == by_object.run_identity()


def test_a_score_without_a_tokenizer_is_refused_with_the_ways_out(make_trainer):
    with pytest.raises(InputError, match="needs a tokenizer to mask with: give processing_class"):
        make_trainer({"masker": uniform})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": BertForMaskedLM}, "found the class BertForMaskedLM"),
        ({"model": None}, "Give a model"),
        ({"model": {"vocab_size": 3}}, "is a masked language model or a checkpoint's name; found dict"),
        ({"masker": Entropy}, "The masker is a Masker, a score, or a recipe's name; found the class Entropy"),
        ({"masker": {"recipe": "random"}}, "found dict"),
        ({"processing_class": AutoTokenizer}, "processing_class is a tokenizer, and AutoTokenizer is its class"),
        ({"distillation": 0.5}, r"Write Distillation\(teacher\)"),
        ({"train_dataset": "data"}, "'data' is a text"),
    ],
)
def test_what_is_not_an_object_of_its_kind_is_refused(given, message, make_trainer):
    with pytest.raises(InputError, match=message):
        make_trainer(given)


def test_arguments_given_as_a_dictionary_are_refused_with_the_line_that_works(tiny_model, tiny_tokenizer):
    with pytest.raises(InputError, match=r"Write TrainingArguments\(\*\*options\)"):
        MaskingTrainer(tiny_model, {"max_steps": 3}, masker=Masker(uniform, tiny_tokenizer))


def test_a_tokenizer_of_another_vocabulary_than_the_maskers_is_refused(tiny_tokenizer, make_trainer):
    """It would be saved with the model, and every later reader would take one token for another."""
    other = copy.deepcopy(tiny_tokenizer)
    other.add_tokens(["zebra"])
    with pytest.raises(InputError, match=r"another one of \d+. Leave out processing_class"):
        make_trainer({"processing_class": other})


def test_the_tokenizer_is_saved_with_the_model_and_with_every_checkpoint(make_trainer, tiny_tokenizer, tmp_path, out):
    trainer = make_trainer(save_strategy="steps", save_steps=4)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    for folder in (tmp_path / "saved", out / "checkpoint-4"):
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == tiny_tokenizer.get_vocab()
        assert AutoModelForMaskedLM.from_pretrained(folder) is not None


def test_model_init_makes_a_new_model_and_new_scores_for_every_train(tiny_model, make_trainer):
    """A second trial that begins with what the first one's score had seen is not a trial of its settings."""
    made = []
    trainer = make_trainer({"model_init": lambda: made.append(copy.deepcopy(tiny_model)) or made[-1]}, score=Counts())
    trainer.train()
    first, seen = logged(trainer), int(trainer.masker.score.num_batches)
    trainer.train()
    assert len(made) >= 2 and trainer.model is made[-1]
    assert first == logged(trainer) and len(first) == 4
    assert int(trainer.masker.score.num_batches) == seen == 4


def test_model_init_trains_as_the_model_it_makes_and_binds_scores_to_it(tiny_model, make_trainer):
    trainer = make_trainer({"model_init": lambda: copy.deepcopy(tiny_model)}, score=Entropy(compiled=False))
    trainer.train()
    assert trainer.masker.score.student.model is trainer.model
    given = make_trainer(score=Entropy(compiled=False))
    given.train()
    assert logged(trainer) == logged(given)


def test_a_model_and_model_init_at_once_are_refused(tiny_model, make_trainer):
    with pytest.raises(InputError, match="Give a model or model_init, not both"):
        make_trainer({"model": tiny_model, "model_init": lambda: tiny_model})


def test_nothing_to_train_on_is_said_when_training_begins(make_trainer):
    trainer = make_trainer({"train_dataset": None})
    with pytest.raises(InputError, match="nothing to train on"):
        trainer.train()


def test_arguments_may_be_left_out(tiny_model, tiny_tokenizer, sentences, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    trainer = MaskingTrainer(tiny_model, masker=Masker(uniform, tiny_tokenizer), train_dataset=sentences)
    assert isinstance(trainer.args, TrainingArguments)
