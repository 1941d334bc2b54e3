"""The collator: the same masks with any number of workers, and other masks in every epoch.

Shapes: B sequences, T positions.
"""

import pytest
import torch
from torch.utils.data import DataLoader

from maskwise.errors import InputError
from maskwise.masking import rates
from maskwise.masking.collator import MaskingCollator
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.masking.units import Spans
from maskwise.scores.by_column import ByColumn
from maskwise.scores.model import Entropy

BERT = (0.8, 0.1, 0.1)


def by_tag(batch):
    return batch["tags"]


by_tag.columns = ("tags",)


def rows_of(num_rows, with_ids=True):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(5, 20, (num_rows,), generator=generator).tolist()
    rows = [{"input_ids": torch.randint(5, 60, (length,), generator=generator).tolist()} for length in lengths]
    return [row | {"example_id": 1000 + i} for i, row in enumerate(rows)] if with_ids else rows


def epoch_of(loader):
    """Every row's input and labels, without padding, in order."""
    seen = []
    for batch in loader:
        texts_BT = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        for ids, labels, text in zip(batch["input_ids"], batch["labels"], texts_BT, strict=True):
            seen.append((ids[text].tolist(), labels[text].tolist()))
    return seen


def test_the_collator_pads_and_masks_as_the_masker_does(tiny_tokenizer):
    masker, rows = Masker(uniform, tiny_tokenizer, corruption=BERT), rows_of(6)
    collator = MaskingCollator(masker)
    collator.set_epoch(4)
    batch, expected = collator(rows), masker(pad_batch(rows, tiny_tokenizer.pad_token_id), TrainState(4))
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert all(torch.equal(batch[key], expected[key]) for key in expected)


def test_full_rows_need_no_attention_mask_and_rows_of_their_own_keep_theirs():
    full = pad_batch([{"input_ids": [7, 8]}, {"input_ids": [8, 9]}], 0)
    assert set(full) == {"input_ids"}
    strategy_masks = [{"input_ids": [7, 8, 0], "attention_mask": [1, 1, 0]}, {"input_ids": [9], "attention_mask": [1]}]
    padded = pad_batch(strategy_masks, 0)
    assert padded["attention_mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert padded["input_ids"].tolist() == [[7, 8, 0], [9, 0, 0]]
    with_words = pad_batch([{"input_ids": [7, 8], "word_ids": [0, 0]}, {"input_ids": [9], "word_ids": [0]}], 0)
    assert with_words["word_ids"].tolist() == [[0, 0], [0, -1]]


@pytest.mark.parametrize("with_ids", [True, False], ids=["example ids", "content"])
def test_workers_and_batch_size_do_not_change_the_masks(tiny_tokenizer, with_ids):
    rows, epochs = rows_of(24, with_ids), []
    for num_workers, batch_size in ((0, 4), (2, 4), (2, 7)):
        collator = MaskingCollator(Masker(uniform, tiny_tokenizer, corruption=BERT))
        collator.set_epoch(1)
        epochs.append(epoch_of(DataLoader(rows, batch_size, collate_fn=collator, num_workers=num_workers)))
    assert epochs[0] == epochs[1] == epochs[2]
    assert all(any(label != IGNORE for label in labels) for _, labels in epochs[0])


def test_set_epoch_reaches_workers_that_are_already_running(tiny_tokenizer):
    """A worker holds a copy of the collator made when it started; an epoch kept there would mask every epoch alike."""
    rows, collator = rows_of(16), MaskingCollator(Masker(uniform, tiny_tokenizer))
    loader = DataLoader(rows, 4, collate_fn=collator, num_workers=2, persistent_workers=True)
    found = []
    for epoch in (0, 1, 0):
        collator.set_epoch(epoch)
        found.append(epoch_of(loader))
    assert found[0] == found[2]
    assert sum(first != second for first, second in zip(found[0], found[1], strict=True)) >= 14


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_collator_that_was_not_told_the_epoch_raises(tiny_tokenizer, num_workers):
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer))
    loader = DataLoader(rows_of(4), 2, collate_fn=collator, num_workers=num_workers)
    with pytest.raises(InputError, match="not told the epoch"):
        next(iter(loader))


class Endless(torch.utils.data.IterableDataset):
    """Rows without a length: the Trainer then counts epochs as shares of max_steps."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


@pytest.mark.parametrize(("kind", "num_workers"), [(list, 0), (list, 2), (Endless, 0)])
def test_under_a_plain_trainer_the_callback_gives_every_epoch_its_own_masks(
    tiny_tokenizer, tiny_model, tmp_path, kind, num_workers
):
    from transformers import Trainer, TrainingArguments

    seen = []

    class Watched(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen.append(inputs["labels"] != IGNORE)
            return super().compute_loss(model, inputs, *args, **kwargs)

    rows = [{"input_ids": row["input_ids"][:5] * 2} for row in rows_of(8)]
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, rate=0.3))
    settings = TrainingArguments(
        str(tmp_path),
        max_steps=4,
        per_device_train_batch_size=4,
        dataloader_num_workers=num_workers,
        dataloader_persistent_workers=num_workers > 0,
        train_sampling_strategy="sequential",
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    callbacks = [collator.callback()]
    Watched(tiny_model, settings, train_dataset=kind(rows), data_collator=collator, callbacks=callbacks).train()
    masker = collator.masker
    expected = [
        masker(pad_batch(rows[first : first + 4], 0), TrainState(epoch))["labels"] != IGNORE
        for epoch in (0, 1)
        for first in (0, 4)
    ]
    assert len(seen) == 4
    assert all(torch.equal(found, wanted) for found, wanted in zip(seen, expected, strict=True))
    assert not torch.equal(seen[0], seen[2])


def rates_seen(collator, rows):
    picked = collator(rows)["labels"] != IGNORE
    return round(picked.double().mean().item(), 2)


LONG = [{"input_ids": [20] * 100, "example_id": i} for i in range(8)]


def test_a_rate_with_a_schedule_follows_the_progress_and_is_refused_without_it(tiny_tokenizer):
    """It stayed at its first rate in every epoch, and nothing said so."""
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, rate=rates.linear(0.4, 0.1)))
    collator.set_epoch(3)
    with pytest.raises(InputError, match=r"not told the progress.*set_progress\(step / max_steps\)"):
        collator(LONG)
    found = []
    for progress in (0.0, 0.5, 1.0):
        collator.set_progress(progress)
        found.append(rates_seen(collator, LONG))
    assert found == [0.4, 0.25, 0.1]
    loader = DataLoader(LONG, 4, collate_fn=collator, num_workers=2)
    assert all(((batch["labels"] != IGNORE).sum(-1) == 10).all() for batch in loader)


def test_an_epoch_or_a_progress_that_is_none_is_refused(tiny_tokenizer):
    """A step in place of a share would leave the rate at its last value, and half an epoch would be cut off."""
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer))
    for epoch in (-1, 1.5, "1"):
        with pytest.raises(InputError, match="the first one 0; found"):
            collator.set_epoch(epoch)
    for progress in (-0.1, 7, float("nan")):
        with pytest.raises(InputError, match="step / max_steps; found"):
            collator.set_progress(progress)


def test_what_needs_the_trainer_is_refused_by_its_name(tiny_tokenizer, tiny_model):
    with pytest.raises(InputError, match=r"Entropy needs the model or the run.*MaskingTrainer"):
        MaskingCollator(Masker(Entropy(tiny_model), tiny_tokenizer))
    with pytest.raises(InputError, match=r"alternating.*MaskingTrainer"):
        MaskingCollator(Masker(uniform, tiny_tokenizer, pick="alternating"))


def test_evaluations_have_the_same_masks_before_in_and_after_training(tiny_tokenizer, tiny_model, tmp_path):
    from transformers import Trainer, TrainingArguments

    seen = {"train": [], "eval": []}
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, rate=rates.linear(0.4, 0.1)))

    class Watched(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen["train" if model.training else "eval"].append(inputs["labels"] != IGNORE)
            return super().compute_loss(model, inputs, *args, **kwargs)

    rows = [{"input_ids": [20 + i] * 40} for i in range(8)]
    settings = TrainingArguments(
        str(tmp_path), num_train_epochs=3, per_device_train_batch_size=4, per_device_eval_batch_size=8, use_cpu=True,
        report_to=[], save_strategy="no", eval_strategy="epoch", disable_tqdm=True,
    )  # fmt: skip
    trainer = Watched(
        tiny_model, settings, train_dataset=rows, eval_dataset=rows, data_collator=collator,
        callbacks=[collator.callback()],
    )  # fmt: skip
    trainer.evaluate()
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    assert len(seen["eval"]) == 6 and all(torch.equal(seen["eval"][0], masks) for masks in seen["eval"])
    found = [masks.double().mean().item() for masks in seen["train"]]
    assert len(found) == 6 and found == sorted(found, reverse=True) and found[0] > 0.35 and found[-1] < 0.25
    assert torch.equal(collator.for_evaluation()(rows)["labels"] != IGNORE, seen["eval"][0])


@pytest.mark.parametrize("unit", ["token", "word"])
def test_workers_that_are_spawned_mask_as_this_process_does(tiny_tokenizer, unit):
    """As on macOS and Windows: a masker that cannot be pickled would fail there alone."""
    rows = [row | {"word_ids": list(range(len(row["input_ids"])))} for row in rows_of(8)]
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, unit=unit, rate=rates.linear(0.4, 0.2), corruption=BERT))
    collator.set_epoch(2)
    collator.set_progress(0.5)
    spawned = DataLoader(rows, 4, collate_fn=collator, num_workers=1, multiprocessing_context="spawn")
    assert epoch_of(spawned) == epoch_of(DataLoader(rows, 4, collate_fn=collator))


@pytest.mark.parametrize("unit", [by_tag, Spans(lengths="uniform", longest=3, atom="token")], ids=["own", "spans"])
def test_columns_and_own_units_reach_spawned_workers(tiny_tokenizer, unit):
    rows = [row | {"tags": [place % 4 for place in range(len(row["input_ids"]))]} for row in rows_of(8)]
    score = ByColumn("tags", {1: "never", 2: 3.0})
    collator = MaskingCollator(Masker(score, tiny_tokenizer, unit=unit, corruption=BERT))
    collator.set_epoch(0)
    spawned = DataLoader(rows, 4, collate_fn=collator, num_workers=1, multiprocessing_context="spawn")
    assert epoch_of(spawned) == epoch_of(DataLoader(rows, 4, collate_fn=collator))


def plain_trainer(model, rows, collator, out, **options):
    from transformers import Trainer, TrainingArguments

    seen = {"train": [], "eval": []}

    class Watched(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen["train" if model.training else "eval"].append(dict(inputs))
            return super().compute_loss(model, inputs, *args, **kwargs)

    loss = {"compute_loss_func": options.pop("compute_loss_func", None)}
    defaults = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 8, "logging_nan_inf_filter": False}
    settings = TrainingArguments(
        str(out), use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=1,
        remove_unused_columns=False, **defaults | options,
    )  # fmt: skip
    trainer = Watched(
        model, settings, train_dataset=rows, eval_dataset=rows, data_collator=collator,
        callbacks=[collator.callback()], **loss,
    )  # fmt: skip
    return trainer, seen


def test_a_plain_trainer_with_two_workers_has_columns_segments_schedules_and_evaluations_alike(
    tiny_tokenizer, tiny_model, tmp_path
):
    """Workers hold copies of the collator from when they started, and make batches ahead of the step."""
    rows = [
        {"input_ids": [2, *[20 + i] * 40, 3], "tags": [-1, *[0, 1] * 20, -1], "token_type_ids": [0] * 21 + [1] * 21}
        for i in range(8)
    ]
    masker = Masker(ByColumn("tags", {1: "never"}), tiny_tokenizer, rate=rates.steps([(0, 0.4), (0.5, 0.1)]))
    trainer, seen = plain_trainer(
        tiny_model, rows, MaskingCollator(masker), tmp_path, num_train_epochs=4, dataloader_num_workers=2,
        dataloader_persistent_workers=True, eval_strategy="steps", eval_steps=3,
    )  # fmt: skip
    trainer.train()
    trainer.evaluate()
    assert len(seen["train"]) == 8 and len(seen["eval"]) == 4
    for inputs in seen["train"] + seen["eval"]:
        assert set(inputs) == {"input_ids", "labels", "token_type_ids"}
        assert (inputs["labels"][:, 2:-1:2] == IGNORE).all() and (inputs["token_type_ids"][:, -1] == 1).all()
    assert all(torch.equal(seen["eval"][0]["labels"], inputs["labels"]) for inputs in seen["eval"])
    counts = [(inputs["labels"] != IGNORE).sum(-1) for inputs in seen["train"]]
    assert (counts[0] == 16).all() and (counts[-1] == 4).all(), "of 40 tokens, at most what may be masked"
    assert not torch.equal(seen["train"][0]["labels"] != IGNORE, seen["train"][2]["labels"] != IGNORE)


def test_a_plain_trainer_bears_batches_without_a_label_if_it_has_the_collators_loss(
    tiny_tokenizer, tiny_model, tmp_path
):
    """A model's own loss is nan there, the Trainer filters it out of the log, and the weights are nan ever after."""
    rows = [{"input_ids": [2, 20 + i, 3]} for i in range(8)]
    masker = Masker(uniform, tiny_tokenizer, budget="bernoulli", rate=0.2)
    options = {"per_device_train_batch_size": 1, "max_steps": 8}
    collator = MaskingCollator(masker, allow_unlabelled=True)
    trainer, seen = plain_trainer(tiny_model, rows, collator, tmp_path, compute_loss_func=collator.loss, **options)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    is_empty = [bool((inputs["labels"] == IGNORE).all()) for inputs in seen["train"]]
    assert 0 < sum(is_empty) < 8
    assert [loss == 0 for loss in losses] == is_empty
    assert torch.isfinite(torch.tensor(trainer.evaluate()["eval_loss"]))
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())

    refusing, _ = plain_trainer(tiny_model, rows, MaskingCollator(masker), tmp_path, **options)
    with pytest.raises(InputError, match=r"no label.*allow_unlabelled=True.*compute_loss_func=collator.loss"):
        refusing.train()


def test_the_collators_loss_is_the_models_where_there_are_labels(tiny_tokenizer, tiny_model):
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer))
    collator.set_epoch(0)
    batch = collator(rows_of(6))
    outputs = tiny_model(**batch)
    assert collator.loss(outputs, batch["labels"]).item() == pytest.approx(outputs.loss.item(), abs=1e-5)
    empty = collator.loss(outputs, torch.full_like(batch["labels"], IGNORE))
    assert empty.item() == 0 and empty.requires_grad


def test_a_loop_that_loads_a_batch_before_its_epoch_begins_still_has_other_masks_in_every_epoch(tiny_tokenizer):
    """As Lightning does: its hooks for an epoch come after the loader of the first one was started."""
    rows = rows_of(8)
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, rate=rates.linear(0.5, 0.1)))
    collator.set_epoch(0)
    collator.set_progress(0.0)
    validation = collator.for_evaluation()
    found, checks = [], []
    for epoch in range(2):
        batches = iter(DataLoader(rows, 8, collate_fn=collator))
        first = next(batches) if epoch == 0 else None
        collator.set_epoch(epoch)  # on_train_epoch_start
        found.append(first or next(batches))
        collator.set_progress((epoch + 1) / 2)  # on_train_batch_end
        checks.append(next(iter(DataLoader(rows, 8, collate_fn=validation))))
    assert not torch.equal(found[0]["labels"] != IGNORE, found[1]["labels"] != IGNORE)
    assert torch.equal(checks[0]["labels"], checks[1]["labels"])


def test_a_plain_trainer_that_removes_columns_is_an_error_that_names_the_option(tiny_tokenizer, tiny_model, tmp_path):
    from transformers import Trainer, TrainingArguments

    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"input_ids": [2, 20, 21, 3], "word_ids": [-1, 0, 0, -1], "tags": [0] * 4}] * 4)
    settings = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], max_steps=1, disable_tqdm=True)
    for masker in (Masker(uniform, tiny_tokenizer, unit="word"), Masker(ByColumn("tags", {}), tiny_tokenizer)):
        collator = MaskingCollator(masker)
        trainer = Trainer(
            tiny_model, settings, train_dataset=rows, data_collator=collator, callbacks=[collator.callback()]
        )
        with pytest.raises(InputError, match="remove_unused_columns=False"):
            trainer.train()
