import pytest
import torch
from transformers import AutoModelForSequenceClassification

from maskwise.errors import InputError
from maskwise.lab.tuning.freeze import freeze_all_but
from maskwise.lab.tuning.load import load_with_head


def test_classifier_and_pooler_are_new_to_a_masked_lm_checkpoint(checkpoint):
    loaded = load_with_head(AutoModelForSequenceClassification, str(checkpoint), seed=0, freeze=True, num_labels=3)
    trained = {name for name, weight in loaded.model.named_parameters() if weight.requires_grad}
    assert trained == {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    }  # fmt: skip
    assert trained == set(loaded.new)


def test_a_checkpoint_with_nothing_new_is_refused():
    with pytest.raises(InputError, match="has every weight already"):
        freeze_all_but(torch.nn.Linear(1, 1), [])
