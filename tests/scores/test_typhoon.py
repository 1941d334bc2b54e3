"""Typhoon inside the trainer: what it is told of each step, what it makes of it, and that a kill costs nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score_context import ScoreContext
from maskwise.scores.typhoon import Typhoon
from maskwise.testing import check_score
from maskwise.training.indexed_rows import IndexedRows
from maskwise.training.trainer import MaskingTrainer

TEXT = "the girl walked by the river and a dog was quickly playing in her green garden on a good day"
LEGACY = dict(
    aggregate="signed-2023",
    ema_start="zero",
    unseen="max",
    calibration="affine-2023",
    cap=1.0,
    count_special_tokens=True,
)


@pytest.fixture
def rows(tiny_tokenizer):
    """Sentences of 3 to 18 words: blocks of unequal length."""
    return [{"input_ids": tiny_tokenizer(" ".join(TEXT.split()[: 3 + i % 16]))["input_ids"]} for i in range(32)]


@pytest.fixture
def counts(rows, tiny_tokenizer):
    return np.bincount(np.concatenate([row["input_ids"] for row in rows]), minlength=len(tiny_tokenizer))


def trainer_of(model, score, tokenizer, rows, out, *, rate=0.3, **options) -> MaskingTrainer:
    defaults = {"max_steps": 1, "per_device_train_batch_size": 8, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, **defaults | options)
    return MaskingTrainer(
        model, args, masker=Masker(score, tokenizer, budget="from-scores", rate=rate), train_dataset=rows
    )


def one_hot_table(model, batch, tokenizer, signed):
    """Each type's saliency by brute force: the gradient by the one-hot input of all V coordinates, loop by loop."""
    masked_BT = batch["labels"] != IGNORE
    ids_BT = torch.where(masked_BT, batch["labels"], batch["input_ids"])
    one_hot_BTV = torch.nn.functional.one_hot(batch["input_ids"], len(tokenizer)).float().requires_grad_()
    embeds = one_hot_BTV @ model.get_input_embeddings().weight
    logits = model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).logits
    loss = torch.nn.functional.cross_entropy(logits[masked_BT], batch["labels"][masked_BT])
    (gradient_BTV,) = torch.autograd.grad(loss, one_hot_BTV)
    visible, masked = {}, {}
    for position in batch["attention_mask"].nonzero().tolist():
        token = int(ids_BT[*position])
        if token not in tokenizer.all_special_ids or token == tokenizer.unk_token_id:
            (masked if masked_BT[*position] else visible).setdefault(token, []).append(
                gradient_BTV[*position, token].item()
            )
    types = visible.keys() | masked.keys()
    if not signed:
        return {t: np.mean(np.abs(visible.get(t, []) + masked.get(t, []))) for t in types}
    return {
        t: (-np.mean(visible[t]) if t in visible else 0) + (np.mean(masked[t]) if t in masked else 0) for t in types
    }


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["abs", "2023"])
def test_a_step_puts_the_one_hot_saliency_of_its_batch_into_the_table(
    tiny_model, tiny_tokenizer, rows, counts, tmp_path, options
):
    score = Typhoon(tiny_tokenizer, counts, **options)
    before = copy.deepcopy(tiny_model)
    trainer = trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, per_device_train_batch_size=32)
    trainer.train()
    fresh = Masker(Typhoon(tiny_tokenizer, counts, **options), tiny_tokenizer, budget="from-scores", rate=0.3)
    batch = fresh(trainer.data_collator(IndexedRows(rows).__getitems__(list(range(32)))))
    expected = one_hot_table(before, batch, tiny_tokenizer, signed=bool(options))
    assert len(expected) > 15
    assert set(score.visited_V.nonzero().flatten().tolist()) == set(expected)
    for token, value in expected.items():
        assert float(score.saliency_V[token]) == pytest.approx(value, rel=1e-3, abs=1e-7)


def test_the_table_is_a_moving_average_over_steps(tiny_model, tiny_tokenizer, rows, counts, tmp_path):
    steps = []

    class Noting(Typhoon):
        def on_step_end(self, context):
            means_V, occurred_V = self._pending.means()
            super().on_step_end(context)
            steps.append((means_V, occurred_V, self.saliency_V.clone()))

    score = Noting(tiny_tokenizer, counts, ema=0.8)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=6).train()
    expected: dict[int, float] = {}
    for means_V, occurred_V, table_V in steps:
        for token in occurred_V.nonzero().flatten().tolist():
            new = float(means_V[token])
            expected[token] = 0.2 * expected[token] + 0.8 * new if token in expected else new
        found = {token: float(table_V[token]) for token in expected}
        assert found == pytest.approx(expected)
    assert len(steps) == 6
    assert any(not occurred_V[list(expected)].all() for _, occurred_V, _ in steps)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["abs", "2023"])
def test_accumulation_makes_no_difference_to_the_table_nor_to_the_masks(
    tiny_model, tiny_tokenizer, rows, counts, tmp_path, options
):
    """One update of the average a micro-batch would forget four times as fast, under the same settings."""
    tables = []
    for name, sizes in (("whole", {"per_device_train_batch_size": 32}), ("parts", {"gradient_accumulation_steps": 4})):
        score = Typhoon(tiny_tokenizer, counts, **options)
        model = copy.deepcopy(tiny_model)
        trainer_of(
            model, score, tiny_tokenizer, rows, tmp_path / name, max_steps=3, learning_rate=1e-3, **sizes
        ).train()
        tables.append(score)
    whole, parts = tables
    assert whole.num_steps == parts.num_steps == 3
    torch.testing.assert_close(parts.saliency_V, whole.saliency_V, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(parts.type_rates(0.3), whole.type_rates(0.3), rtol=1e-3, atol=1e-5)
    assert whole.type_rates(0.3).unique().numel() > 5


def test_nothing_as_large_as_positions_times_vocabulary_is_made(tiny_model, tiny_tokenizer, rows, counts, tmp_path):
    """[B, T, V] is what the method's definition says, and what it must not cost."""
    score = Typhoon(tiny_tokenizer, counts)
    score.bind(tiny_model)
    masker = Masker(score, tiny_tokenizer, budget="from-scores")
    trainer = trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path)
    batch = masker(trainer.data_collator(IndexedRows(rows).__getitems__(list(range(32)))))
    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            output = function(*args, **(kwargs or {}))
            sizes.extend(part.numel() for part in (output if isinstance(output, tuple | list) else [output])
                         if isinstance(part, torch.Tensor))  # fmt: skip
            return output

    width = tiny_model.config.hidden_size
    with Sizes():
        score.observe(batch, torch.randn(*batch["input_ids"].shape, width))
        score.take_up(ScoreContext.alone())
        score(masker.prepare(batch))
    assert max(sizes) == batch["input_ids"].numel() * width < batch["input_ids"].numel() * len(tiny_tokenizer)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["abs", "2023"])
def test_it_keeps_the_contract_of_every_score(tiny_model, tiny_tokenizer, rows, counts, tmp_path, options):
    score = Typhoon(tiny_tokenizer, counts, **options)
    check_score(score, tiny_tokenizer, model=tiny_model)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=2).train()
    assert score.num_steps == 2
    check_score(score, tiny_tokenizer, model=tiny_model)


def test_rates_meet_the_budget_by_share_of_text_and_special_tokens_have_none(
    tiny_model, tiny_tokenizer, rows, counts, tmp_path
):
    score = Typhoon(tiny_tokenizer, counts)
    torch.testing.assert_close(score.type_rates(0.2)[score.eligible_V].unique(), torch.tensor([0.2]))
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=3).train()
    special = [i for i in tiny_tokenizer.all_special_ids if i != tiny_tokenizer.unk_token_id]
    eligible = np.setdiff1d(np.arange(len(counts)), special)
    for rate in (0.15, 0.3):
        rates = score.type_rates(rate).numpy()
        assert not rates[special].any()
        assert rates.max() <= 0.5 + 1e-6
        assert np.average(rates[eligible], weights=counts[eligible]) == pytest.approx(rate, abs=1e-6)
    assert rates[eligible].std() > 0.01


def test_the_2023_form_stays_below_its_budget_since_special_tokens_take_a_share(
    tiny_model, tiny_tokenizer, rows, counts, tmp_path
):
    score = Typhoon(tiny_tokenizer, counts, **LEGACY)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=3).train()
    eligible = score.eligible_V.numpy()
    realised = np.average(score.type_rates(0.3).numpy()[eligible], weights=counts[eligible])
    assert 0.25 < realised < 0.299


def test_gradients_that_overflowed_are_left_out(tiny_model, tiny_tokenizer, counts):
    """Under fp16 a step may overflow and be skipped; one NaN would stay in a moving average for ever."""
    score = Typhoon(tiny_tokenizer, counts)
    score.bind(tiny_model)
    ids_BT = torch.tensor([[20, 21, 22]])
    gradients_BTD = torch.ones(1, 3, 32)
    gradients_BTD[0, 1] = torch.inf
    score.observe({"input_ids": ids_BT, "labels": torch.full_like(ids_BT, IGNORE)}, gradients_BTD)
    score.take_up(ScoreContext.alone())
    assert score.saliency_V.isfinite().all()
    assert score.visited_V[ids_BT[0]].tolist() == [True, False, True]


def test_a_step_of_nothing_but_overflows_leaves_the_table_as_it_was(tiny_model, tiny_tokenizer, counts):
    """fp16 starts so: its loss scale is found by steps that overflow."""
    score = Typhoon(tiny_tokenizer, counts)
    score.bind(tiny_model)
    ids_BT = torch.where(score.eligible_V, score.shares_V, 0).topk(3).indices[None]
    batch = {"input_ids": ids_BT, "labels": torch.full_like(ids_BT, IGNORE)}
    score.observe(batch, torch.full((1, 3, 32), torch.inf))
    score.take_up(ScoreContext.alone())
    assert score.num_steps == 0
    assert score.type_rates(0.15)[ids_BT[0]].tolist() == pytest.approx([0.15] * 3)
    score.observe(batch, torch.ones(1, 3, 32))
    score.take_up(ScoreContext.alone())
    assert score.num_steps == 1 and score.type_rates(0.15).isfinite().all()


def test_mistakes_are_answered_in_words(tiny_model, tiny_tokenizer, rows, counts, tmp_path):
    with pytest.raises(InputError, match="affine-2023"):
        Typhoon(tiny_tokenizer, counts, aggregate="signed-2023")
    with pytest.raises(InputError, match="Did you mean 'mean'"):
        Typhoon(tiny_tokenizer, counts, unseen="means")
    for name, value in (("ema", 5), ("cap", 0), ("temperature", -1), ("spread", 1)):
        with pytest.raises(InputError, match=f"{name} is {value}; it must lie"):
            Typhoon(tiny_tokenizer, counts, **{name: value})
    with pytest.raises(InputError, match="counts nothing"):
        Typhoon(tiny_tokenizer, np.zeros(len(tiny_tokenizer)))
    with pytest.raises(InputError, match="one count for each"):
        Typhoon(tiny_tokenizer, np.ones(len(tiny_tokenizer) + 1))
    with pytest.raises(InputError, match="bind"):
        Typhoon(tiny_tokenizer, counts).observe({}, torch.zeros(1))
    with pytest.raises(InputError, match="rate 0"):
        Masker(Typhoon(tiny_tokenizer, counts), tiny_tokenizer, budget="from-scores", rate=lambda progress: 0.0)


def test_a_compiled_run_is_refused(tiny_model, tiny_tokenizer, rows, counts, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")  # which the arguments set for the whole process
    with pytest.raises(InputError, match="it runs eager"):
        trainer_of(tiny_model, Typhoon(tiny_tokenizer, counts), tiny_tokenizer, rows, tmp_path, torch_compile=True)
