"""The size of a run, counted from the rows that its steps really see."""

import pytest
from transformers import TrainingArguments

from maskwise.lab.pretraining.build import rows_a_step, steps_an_epoch


@pytest.mark.parametrize(
    ("batch", "accumulation", "drop_last"), [(4, 1, False), (4, 3, False), (64, 1, False), (4, 1, True)]
)
def test_rows_are_counted_as_a_run_really_sees_them(batch, accumulation, drop_last, tmp_path):
    """A batch asked for that is larger than the data gave 3e13 tokens per second."""
    args = TrainingArguments(
        str(tmp_path), use_cpu=True, report_to=[], per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation, dataloader_drop_last=drop_last,
    )  # fmt: skip
    rows = list(range(22))
    batches = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    batches = [part for part in batches if len(part) == batch or not drop_last]
    steps = [batches[i : i + accumulation] for i in range(0, len(batches), accumulation)]
    seen = sum(len(part) for step in steps for part in step)
    assert steps_an_epoch(args, len(rows)) == len(steps)
    assert rows_a_step(args, len(rows)) == pytest.approx(seen / len(steps))
