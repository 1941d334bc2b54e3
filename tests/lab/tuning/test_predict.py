import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from maskwise.lab.tuning.load import load_with_head
from maskwise.lab.tuning.predict import predict
from maskwise.masking.corrupt import IGNORE

LENGTHS = (3, 20, 4, 11, 20, 3)


def rows(per_token):
    generator = torch.Generator().manual_seed(0)
    made = []
    for i, length in enumerate(LENGTHS):
        ids = torch.randint(5, 60, (length,), generator=generator).tolist()
        labels = [IGNORE] + [i % 2] * (length - 1) if per_token else i % 2
        made.append({"input_ids": ids, "attention_mask": [1] * length, "labels": labels})
    return made


@pytest.mark.parametrize("auto", [AutoModelForSequenceClassification, AutoModelForTokenClassification])
@pytest.mark.parametrize("most_tokens", [1, 60, 10_000])
def test_logits_and_loss_do_not_depend_on_the_batches(auto, most_tokens, checkpoint):
    """Against one example at a time: in order, cut to their length, the loss a mean over labels."""
    model = load_with_head(auto, str(checkpoint), seed=0, freeze=False, num_labels=2).model
    examples = rows(auto is AutoModelForTokenClassification)
    model.train()
    found = predict(model, examples, pad_id=0, most_tokens=most_tokens, bf16=False)
    assert model.training
    model.eval()
    losses, counts = [], []
    for example, logits in zip(examples, found.logits, strict=True):
        with torch.no_grad():
            alone = model(**{key: torch.tensor([value]) for key, value in example.items()})
        np.testing.assert_allclose(logits, alone.logits[0], atol=2e-6)
        counts.append(int((torch.tensor(example["labels"]) != IGNORE).sum()))
        losses.append(alone.loss.item())
    assert found.loss == pytest.approx(np.average(losses, weights=counts), abs=1e-6)
