"""Training data of unknown length: passes are counted as passes, whole steps are made of them, and runs are resumed."""

import pytest
import torch
from torch.utils.data import IterableDataset
from transformers import TrainerCallback

from maskwise.errors import InputError
from maskwise.masking.score_context import TrainState
from maskwise.training.streams import StreamPosition
from training.conftest import logged


class Stream(IterableDataset):
    """Rows one after the other, without a length."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


@pytest.fixture
def stream(sentences):
    return Stream(sentences[:20])  # 5 batches of 4, or 2.5 of 8


class Kill(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def watched(trainer):
    """Trains; returns the pass and the masked inputs of every micro-batch."""
    seen, step = [], trainer.compute_loss

    def spy(model, inputs, **options):
        seen.append((trainer.train_state().epoch, dict(inputs)))
        return step(model, inputs, **options)

    trainer.compute_loss = spy
    trainer.train()
    return seen


def test_each_pass_is_masked_by_its_own_number(make_trainer, stream):
    """The Trainer counts epochs of a stream as shares of the run, and kept the last pass's for a first step."""
    trainer = make_trainer({"train_dataset": stream}, max_steps=12, per_device_train_batch_size=4)
    seen = watched(trainer)
    assert [number for number, _ in seen] == [0] * 5 + [1] * 5 + [2] * 2
    for step, (number, inputs) in enumerate(seen):
        rows = [stream.rows[(4 * step + i) % 20] for i in range(4)]
        state = TrainState(number, step, step / 12)
        expected = trainer.masker(trainer.data_collator(rows), state)
        for name in ("input_ids", "labels"):
            assert torch.equal(inputs[name], expected[name]), (step, name)
    assert len({tuple(seen[i][1]["labels"].flatten().tolist()) for i in (0, 5, 10)}) == 3


def test_a_step_that_the_end_of_a_pass_cuts_short_is_completed_by_the_next(make_trainer, stream):
    """The gradients of the rest would lie about, and be added to a later step's."""
    options = {"max_steps": 5, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    trainer = make_trainer({"train_dataset": stream}, **options)
    seen = watched(trainer)
    assert len(seen) == 15 and trainer.state.global_step == 5
    lengths = [inputs["attention_mask"].sum(-1).tolist() for _, inputs in seen]
    rows = [len(row["input_ids"]) for row in stream.rows] * 3
    assert [length for batch in lengths for length in batch] == rows


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_resumed_stream_ends_as_the_unbroken_one(accumulation, make_trainer, stream, tmp_path):
    """Killed in the middle of the second pass: neither the rows nor their masks may be those of another place."""
    options = {
        "max_steps": 9, "per_device_train_batch_size": 4, "gradient_accumulation_steps": accumulation,
        "save_strategy": "steps", "save_steps": 7, "lr_scheduler_type": "constant",
    }  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        make_trainer({"train_dataset": stream, "callbacks": [Kill(7)]}, **options).train()
    resumed = make_trainer({"train_dataset": stream}, **options)
    resumed.train(resume_from_checkpoint=True)
    unbroken = make_trainer({"train_dataset": stream}, **options, output_dir=str(tmp_path / "unbroken"))
    unbroken.train()
    assert logged(resumed) == logged(unbroken) and len(logged(unbroken)) == 9
    torch.testing.assert_close(resumed.model.state_dict(), unbroken.model.state_dict(), rtol=0, atol=0)
    assert resumed.stream.state_dict() == unbroken.stream.state_dict()


def test_a_second_train_begins_at_the_first_pass(make_trainer, stream):
    trainer = make_trainer({"train_dataset": stream}, max_steps=3)
    watched(trainer)
    assert [number for number, _ in watched(trainer)] == [0, 0, 0]


def test_an_evaluation_of_a_stream_is_refused(make_trainer, stream):
    with pytest.raises(InputError, match="eval_dataset is a stream, and an evaluation asks the same rows every time"):
        make_trainer({"eval_dataset": stream})


def test_a_position_counts_the_batches_of_whole_steps_only():
    """A checkpoint that counted those waiting for the next pass would skip rows that nothing was learned of."""
    position = StreamPosition()
    position.start()
    position.begin_pass()
    first = iter(range(5))
    assert position.group(first, 3) == [0, 1, 2] and position.state_dict() == {"pass": 0, "batches": 3}
    assert position.group(first, 3) == []
    position.begin_pass()
    assert position.group(iter(range(5, 10)), 3) == [3, 4, 5]
    assert position.state_dict() == {"pass": 1, "batches": 1}
    later = StreamPosition()
    later.load_state_dict(position.state_dict())
    later.start()
    later.begin_pass()
    batches = iter(range(5, 10))
    assert later.skip(batches) and not later.skip(batches)
    assert later.group(batches, 3) == [6, 7, 8]
