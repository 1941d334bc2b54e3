"""What transformers reports is held back where it is no news, and only there."""

import logging

import pytest
import transformers
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainingArguments

from maskwise.models.hf_logging import all_tied, silent_on_tied_weights

ROWS = [{"input_ids": [2, 7, 8, 3], "labels": [2, 7, 8, 3]}] * 2


@pytest.fixture
def reports():
    """What transformers' trainer logs."""
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger = logging.getLogger("transformers.trainer")
    before, disabled = transformers.logging.get_verbosity(), logging.root.manager.disable
    transformers.logging.set_verbosity_warning()  # other tests, or what they import, may have made it quieter
    logging.disable(logging.NOTSET)
    logger.addHandler(handler)
    yield seen
    logger.removeHandler(handler)
    logging.disable(disabled)
    transformers.logging.set_verbosity(before)


@pytest.fixture
def resume(tiny_model, tmp_path):
    """Trains for a step, then resumes from its checkpoint and trains one more."""

    def make(max_steps):
        args = TrainingArguments(
            str(tmp_path), max_steps=max_steps, save_steps=1, use_cpu=True, report_to=[], disable_tqdm=True
        )
        return Trainer(tiny_model, args, train_dataset=ROWS)

    make(1).train()
    return lambda: make(2).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def missing(reports):
    return [report for report in reports if "missing keys" in report]


def test_tied_weights_are_no_news_where_a_run_is_resumed(resume, tiny_model, reports):
    resume()
    assert len(missing(reports)) == 1, "the Trainer no longer says so: the filter can go"
    with silent_on_tied_weights(tiny_model):
        resume()
    assert len(missing(reports)) == 1


def test_a_weight_that_is_really_missing_is_reported(resume, tiny_model, reports, tmp_path):
    file = tmp_path / "checkpoint-1" / "model.safetensors"
    weights = load_file(file)
    gone = "bert.encoder.layer.0.output.dense.weight"
    save_file({name: weight for name, weight in weights.items() if name != gone}, file, metadata={"format": "pt"})
    with silent_on_tied_weights(tiny_model):
        resume()
    assert [gone in report for report in missing(reports)] == [True]


def test_weights_are_tied_where_one_of_their_names_is_left(tiny_model):
    decoder, embedding = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"
    assert all_tied(tiny_model, {decoder})
    assert not all_tied(tiny_model, {decoder, embedding})
    assert not all_tied(tiny_model, {decoder, "bert.pooler.dense.weight"})
