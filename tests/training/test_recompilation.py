"""The compiled reductions are compiled with the first batch, and never again in a run."""

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import TrainerCallback, TrainingArguments

from maskwise.masking.masker import Masker
from maskwise.models.presets import build_model
from maskwise.scores.model import Entropy
from maskwise.training.trainer import MaskingTrainer

NUM_ROWS, BATCH = 21, 4  # the last batch of an epoch is one row alone
VOCABULARY = 150


class CountGraphs(TrainerCallback):
    """How many graphs the compiler has made by the start, and by the end of each step."""

    def __init__(self):
        self.counts = []

    def on_train_begin(self, args, state, control, **kwargs):
        self.counts.append(num_graphs())

    def on_step_end(self, args, state, control, **kwargs):
        self.counts.append(num_graphs())


def num_graphs():
    return counters["stats"]["unique_graphs"]


def rows_of_many_lengths(vocabulary):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 64, (NUM_ROWS,), generator=generator).tolist()
    return [
        {"input_ids": [2, *torch.randint(5, vocabulary, (length - 2,), generator=generator).tolist(), 3]}
        for length in lengths
    ]


@pytest.mark.parametrize(("folds", "bf16"), [(None, False), (3, True)], ids=["fp32", "bf16 in folds"])
def test_nothing_is_compiled_after_the_first_batch(folds, bf16, tiny_tokenizer, tmp_path):
    """A graph for each number of rows would cost seconds at a time, and after eight of them run eagerly for good."""
    torch._dynamo.reset()  # an earlier test may have compiled the same
    count = CountGraphs()
    args = TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=BATCH, gradient_accumulation_steps=2, bf16=bf16,
        use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    MaskingTrainer(
        build_model("tiny", VOCABULARY, 0, tiny_tokenizer.pad_token_id),
        args,
        masker=Masker(Entropy(folds=folds), tiny_tokenizer, pick="marginal"),
        train_dataset=rows_of_many_lengths(len(tiny_tokenizer)),
        callbacks=[count],
    ).train()
    before, first, *later = count.counts
    assert len(later) >= 4
    assert first > before, "nothing was compiled, so nothing was shown"
    assert later == [first] * len(later)
