"""The audit as a whole: it finds what is planted, nothing in correct collators, and leaves everything as it was."""

import json
import os
import random

import numpy as np
import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from maskwise import check
from maskwise.errors import InputError
from maskwise.evaluation.auditing.processes import Processes
from maskwise.masking.collator import MaskingCollator
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from planted_faults import FAULTS, Plain, plant
from three_tokenizers import FAMILIES

IGNORE = -100
BERT = (0.8, 0.1, 0.1)
STRATEGIES = {
    "random": {"pick": "sample"},
    "bert": {"budget": "bernoulli", "corruption": BERT},
    "high": {"pick": "high"},
    "in proportion": {"pick": "sample"},
}


def quick(collator, rows, tokenizer, **settings):
    """An audit without further epochs, and without loader workers."""
    return check(collator, rows, tokenizer, **{"seconds": 0, "workers": 0, **settings})


def keep_columns(rows, *columns):
    return [{column: row[column] for column in columns} for row in rows]


def model_columns(rows):
    return keep_columns(rows, "input_ids", "attention_mask", "special_tokens_mask")


def id_scores(batch):
    """Scores that never change: another number for each token and place."""
    mixed = batch["input_ids"] * 2654435761 + torch.arange(batch["input_ids"].shape[1]) * 40503
    return -(1 - (mixed % 65536).float() / 65537).log()


def family_of(fault):
    return FAMILIES[FAULTS.index(fault) % len(FAMILIES)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault, three_tokenizers, rows_of):
    tokenizer = three_tokenizers[family_of(fault)]
    collator, rows = plant(fault, tokenizer, rows_of(tokenizer, 64), is_low=False, seed=1)
    audit = quick(collator, rows, tokenizer, rate=0.15)
    assert set(fault.lines) & {line.name for line in audit.faults}, audit
    assert all(line.examples for line in audit.faults)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_rare_fault_is_found_or_left_undecided_but_never_called_fine(fault, three_tokenizers, rows_of):
    tokenizer = three_tokenizers[family_of(fault)]
    collator, rows = plant(fault, tokenizer, rows_of(tokenizer, 64), is_low=True, seed=2)
    audit = quick(collator, rows, tokenizer, rate=0.15)
    assert audit[fault.lines[0]].verdict in ("fault", "not decided"), audit


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_all_planted_faults_are_found_with_all_tokenizers(family, three_tokenizers, rows_of):
    """On one seed; `benchmarks/audit.py planted` tries more."""
    tokenizer, missed, seed = three_tokenizers[family], [], 3
    for fault in FAULTS:
        for is_low in (False, True):
            collator, rows = plant(fault, tokenizer, rows_of(tokenizer, 96, seed), is_low=is_low, seed=seed)
            audit = quick(collator, rows, tokenizer, rate=0.15, seed=seed)
            found = bool(set(fault.lines) & {line.name for line in audit.faults})
            if not found and (not is_low or audit[fault.lines[0]].verdict == "fine"):
                missed.append((fault.name, is_low))
    assert not missed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_correct_collator_has_no_fault(family, three_tokenizers, rows_of):
    tokenizer = three_tokenizers[family]
    audit = quick(Plain(tokenizer), rows_of(tokenizer, 160), tokenizer, rate=0.15, corruption=BERT)
    assert not audit.faults, audit
    fine = {line.name for line in audit.with_verdict("fine")}
    assert {"labels", "padding", "unlabelled_input", "attention_mask", "rows", "callers_rows", "epochs"} <= fine


@pytest.mark.parametrize("name", STRATEGIES)
def test_maskwises_own_collator_has_no_fault_with_two_workers(name, wordpiece, rows_of):
    score = id_scores if name in ("high", "in proportion") else uniform
    masker = Masker(score, wordpiece, **STRATEGIES[name])
    rows = keep_columns(rows_of(wordpiece, words=True), "input_ids", "word_ids", "example_id")
    audit = quick(MaskingCollator(masker), rows, wordpiece, workers=2)
    assert not audit.faults, audit
    assert audit["rate"].verdict != "for information"
    repeats = "for information" if name == "high" else "not decided"
    assert audit["epochs"].verdict == audit["worker_epochs"].verdict == repeats
    is_judged = audit["rate_by_position"].verdict != "for information"
    assert is_judged == (score is uniform)


def test_masked_special_tokens_are_a_fault_though_a_recipe_means_them(wordpiece, rows_of):
    masker = Masker(uniform, wordpiece, rate=0.3, budget="bernoulli", mask_special_tokens=True)
    rows = keep_columns(rows_of(wordpiece), "input_ids", "example_id")
    audit = quick(MaskingCollator(masker), rows, wordpiece)
    assert [line.name for line in audit.faults] == ["special_tokens"]


def test_the_stock_collator_draws_special_tokens_as_replacements(wordpiece, rows_of):
    rows = model_columns(rows_of(wordpiece, 160))
    audit = quick(DataCollatorForLanguageModeling(wordpiece), rows, wordpiece)
    assert [line.name for line in audit.faults] == ["replacements"], audit
    assert audit["ranks_seeded_alike"].verdict == "for information"
    assert audit["corruption"].verdict in ("fine", "not decided")


def test_the_stock_collators_seed_repeats_masks_over_epochs_ranks_and_a_resume(wordpiece, rows_of):
    collator = DataCollatorForLanguageModeling(wordpiece, seed=0)
    audit = quick(collator, model_columns(rows_of(wordpiece)), wordpiece, workers=2)
    assert {"worker_epochs", "ranks", "resume"} <= {line.name for line in audit.faults}, audit
    assert audit["epochs"].verdict != "fault"
    assert audit["workers"].verdict != "fault"


def test_whole_words_by_offsets_leave_most_rows_of_a_byte_level_tokenizer_empty(three_tokenizers, rows_of):
    tokenizer = three_tokenizers["byte-bpe"]
    with pytest.warns(UserWarning, match="replacement"):
        collator = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
    rows = rows_of(tokenizer, lengths=(48, 48), shortest=48, words=True)
    columns = ("input_ids", "attention_mask", "special_tokens_mask", "offset_mapping")
    audit = quick(collator, keep_columns(rows, *columns), tokenizer)
    assert audit["empty_rows"].verdict == "fault"
    assert audit["empty_rows"].counts["empty"] > 0.8 * audit["empty_rows"].counts["rows"]


class NumpyGenerator(Plain):
    """The commonest mistake with loader workers: a generator that every worker gets a copy of."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self.generator = np.random.default_rng(0)

    def choose(self, batch, maskable_BT, rows):
        return maskable_BT & torch.from_numpy(self.generator.random(maskable_BT.shape) < self.rate)


def test_a_generator_of_ones_own_repeats_in_every_worker_and_every_epoch(wordpiece, rows_of):
    audit = quick(NumpyGenerator(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15, workers=2)
    assert {"workers", "worker_epochs", "ranks", "resume"} <= {line.name for line in audit.faults}, audit


class Resumable(NumpyGenerator):
    def state_dict(self):
        return self.generator.bit_generator.state

    def load_state_dict(self, state):
        self.generator.bit_generator.state = state


def test_a_collator_that_restores_its_state_passes_the_resume(wordpiece, rows_of):
    audit = quick(Resumable(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15)
    assert audit["resume"].verdict != "fault", audit
    assert audit["ranks"].verdict == "fault"


@pytest.mark.parametrize("by", ["torch", "environment"])
def test_a_collator_that_asks_for_its_rank_is_told_it(wordpiece, rows_of, by):
    class PerRank(Plain):
        generator = None

        def choose(self, batch, maskable_BT, rows):
            if self.generator is None:
                rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
                rank = rank if by == "torch" else int(os.environ.get("RANK", 0))
                self.generator = torch.Generator().manual_seed(rank)
            return maskable_BT & (torch.rand(maskable_BT.shape, generator=self.generator) < self.rate)

    audit = quick(PerRank(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15)
    assert audit["ranks"].verdict != "fault"
    assert audit["ranks"].counts["judged"] >= 20
    assert not torch.distributed.is_initialized()


def test_a_plain_function_with_a_generator_in_its_closure_is_run_as_new_too(wordpiece, rows_of):
    """It cannot be copied; a process that is forked before its first use has it as it was."""
    plain, noise = Plain(wordpiece), torch.Generator().manual_seed(0)

    def collate(rows):
        batch = plain.pad(rows)
        chosen_BT = plain.maskable(batch) & (torch.rand(batch["input_ids"].shape, generator=noise) < 0.15)
        batch["labels"] = torch.where(chosen_BT, batch["input_ids"], IGNORE)
        batch["input_ids"] = torch.where(chosen_BT, plain.mask_id, batch["input_ids"])
        return batch

    audit = quick(collate, rows_of(wordpiece), wordpiece, rate=0.15)
    assert {line.name for line in audit.faults} == {"ranks", "resume"}, audit
    assert audit["pickle"].verdict == "for information"
    assert audit.collator == "collate"


@pytest.mark.parametrize("can_fork", [True, False])
def test_where_processes_cannot_be_forked_runs_begin_with_a_deep_copy(wordpiece, rows_of, monkeypatch, can_fork):
    monkeypatch.setattr(Processes, "can_fork", can_fork)
    own = quick(NumpyGenerator(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15)
    assert {line.name for line in own.faults} == {"ranks", "resume"}, own
    restored = quick(Resumable(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15)
    assert {line.name for line in restored.faults} == {"ranks"}, restored
    plain = quick(Plain(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15)
    assert not plain.faults, plain
    assert plain["ranks_seeded_alike"].verdict == "for information"


class OnlyInMain(Plain):
    def __call__(self, rows):
        if torch.utils.data.get_worker_info() is not None:
            raise RuntimeError("not made for workers")
        return super().__call__(rows)


def test_a_collator_that_raises_in_workers_has_a_fault_and_the_audit_goes_on(wordpiece, rows_of):
    audit = quick(OnlyInMain(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15, workers=2)
    assert audit["worker_epochs"].verdict == "fault"
    assert "not made for workers" in audit["worker_epochs"].finding
    assert audit["epochs"].verdict != "fault"


def test_workers_that_a_collator_cannot_be_sent_to_are_reported(wordpiece, rows_of):
    """Where processes are spawned, the collator is pickled; a local class is not."""
    import multiprocessing

    class Local(Plain):
        pass

    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        audit = quick(Local(wordpiece), rows_of(wordpiece), wordpiece, rate=0.15, workers=2)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert audit["worker_epochs"].verdict == "not decided"
    assert "pickle" in audit["worker_epochs"].finding
    assert "Local" in audit["pickle"].finding


class LoseRows(Plain):
    def __init__(self, tokenizer, how):
        super().__init__(tokenizer)
        self.how = how

    def __call__(self, rows):
        rows = {
            "dropped": rows[:-1],
            "reversed": rows[::-1],
            "repeated": [rows[0], *rows[:-1]],
            "cut": [{key: value[:20] for key, value in row.items() if key != "example_id"} for row in rows],
        }[self.how]
        return super().__call__(rows)


@pytest.mark.parametrize("how", ["dropped", "reversed", "repeated", "cut"])
def test_rows_that_do_not_come_out_as_they_went_in_are_a_fault(wordpiece, rows_of, how):
    audit = quick(LoseRows(wordpiece, how), rows_of(wordpiece), wordpiece, rate=0.15)
    assert {line.name for line in audit.faults} == {"rows"}, audit


class WithoutColumns(Plain):
    def __init__(self, tokenizer, *columns):
        super().__init__(tokenizer)
        self.columns = columns

    def finish(self, batch, original_BT, rows):
        return {key: value for key, value in batch.items() if key not in self.columns}


@pytest.mark.parametrize(("column", "line"), [("attention_mask", "attention_mask"), ("token_type_ids", "token_types")])
def test_an_attention_mask_or_token_types_that_are_lost_are_a_fault(wordpiece, rows_of, column, line):
    rows = [row | {"token_type_ids": [0, *[1] * (len(row["input_ids"]) - 1)]} for row in rows_of(wordpiece)]
    kept = quick(Plain(wordpiece), rows, wordpiece, rate=0.15)
    assert kept[line].verdict == "fine"
    lost = quick(WithoutColumns(wordpiece, column), rows, wordpiece, rate=0.15)
    assert [found.name for found in lost.faults] == [line]


def test_rows_of_one_length_need_no_attention_mask(wordpiece, rows_of):
    rows = rows_of(wordpiece, lengths=(40, 40), shortest=40)
    audit = quick(WithoutColumns(wordpiece, "attention_mask"), rows, wordpiece, rate=0.15)
    assert not audit.faults
    assert "attention_mask" not in [line.name for line in audit.lines]
    assert audit["padding"].verdict == "not decided"


class Laid(Plain):
    """The same masking in another layout: padded on the left, to a multiple, or all rows in one."""

    def __init__(self, tokenizer, layout):
        super().__init__(tokenizer)
        self.layout = layout

    def __call__(self, rows):
        batch = super().__call__(rows)
        if self.layout == "numpy":
            return {key: value.numpy() for key, value in batch.items()}
        texts = batch.pop("attention_mask").bool()
        if self.layout == "flat":
            return {key: value[texts][None] for key, value in batch.items()}
        width, laid = 128, {}
        for key, fill in (("input_ids", self.pad_id), ("labels", IGNORE)):
            laid[key] = torch.full((len(rows), width), fill)
            for i, text in enumerate(texts):
                values = batch[key][i][text]
                laid[key][i, width - len(values) :] = values
        attention = torch.zeros(len(rows), width, dtype=torch.long)
        for i, text in enumerate(texts):
            attention[i, width - int(text.sum()) :] = 1
        return laid | {"attention_mask": attention}


@pytest.mark.parametrize("layout", ["left", "flat", "numpy"])
def test_other_layouts_are_read_as_well(wordpiece, rows_of, layout):
    audit = quick(Laid(wordpiece, layout), rows_of(wordpiece), wordpiece, rate=0.15)
    assert not audit.faults, audit
    assert audit["labels"].counts["at_risk"] > 4000


def test_padding_that_the_rows_bring_along_is_padding(wordpiece, rows_of):
    padded = []
    for row in rows_of(wordpiece):
        missing = 112 - len(row["input_ids"])
        fills = {"input_ids": wordpiece.pad_token_id, "attention_mask": 0, "special_tokens_mask": 1}
        padded.append({key: row[key] + [fill] * missing for key, fill in fills.items()})
    audit = quick(Plain(wordpiece), padded, wordpiece, rate=0.15)
    assert not audit.faults, audit
    assert audit["padding"].verdict == "fine"


def test_further_epochs_decide_what_is_open(wordpiece, rows_of):
    rows = rows_of(wordpiece)
    first = quick(Plain(wordpiece), rows, wordpiece, rate=0.15, corruption=BERT)
    later = quick(Plain(wordpiece), rows, wordpiece, rate=0.15, corruption=BERT, seconds=3)
    assert later.num_epochs > first.num_epochs == 12
    assert first["special_tokens"].verdict == "not decided"
    assert len(later.with_verdict("not decided")) < len(first.with_verdict("not decided"))


def test_a_rate_that_nobody_states_is_not_judged(wordpiece, rows_of):
    rows = rows_of(wordpiece)
    assert quick(Plain(wordpiece), rows, wordpiece)["rate"].verdict == "for information"
    assert quick(Plain(wordpiece), rows, wordpiece, rate=0.3)["rate"].verdict == "fault"
    assert quick(Plain(wordpiece), rows, wordpiece, corruption=(1, 0, 0))["corruption"].verdict == "fault"
    stock = DataCollatorForLanguageModeling(wordpiece, mlm_probability=0.4, mask_replace_prob=0.5)
    audit = quick(stock, model_columns(rows), wordpiece)
    assert audit["rate"].counts["expected"] == 0.4
    assert [measure.accepted[0] for measure in audit["corruption"].measures] == pytest.approx([0.49, 0.09, 0.39])


def test_the_collator_the_rows_and_the_random_states_stay_as_they_were(wordpiece, rows_of):
    collator, rows = NumpyGenerator(wordpiece), rows_of(wordpiece)
    copies = [{key: list(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows]
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    state = collator.generator.bit_generator.state
    quick(collator, rows, wordpiece, rate=0.15, workers=1)
    drawn = torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    assert drawn == (torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)])
    assert collator.generator.bit_generator.state == state
    assert rows == copies
    assert not {"RANK", "WORLD_SIZE"} & set(os.environ)


def test_the_same_seed_gives_the_same_audit(wordpiece, rows_of):
    rows = rows_of(wordpiece)
    first, again, other = (quick(Plain(wordpiece), rows, wordpiece, seed=seed).as_dict() for seed in (1, 1, 2))
    for audit in (first, again, other):
        del audit["seconds"]
    assert first == again != other


def test_an_audit_prints_itself_and_is_plain_data(wordpiece, rows_of):
    collator, rows = plant(FAULTS[0], wordpiece, rows_of(wordpiece), is_low=False, seed=0)
    audit = quick(collator, rows, wordpiece, rate=0.15)
    data = json.loads(json.dumps(audit.as_dict(), allow_nan=False))
    assert data["faults"] == ["special_tokens"]
    assert [line["name"] for line in data["lines"]] == [line.name for line in audit.lines]
    text = repr(audit)
    assert text.startswith("Audit of MaskedCls: 1 fault, ")
    assert "[MASK]{[CLS]}" in text
    assert max(map(len, text.splitlines())) <= 110
    assert text.index("fault    ") < text.index("not decided   ") < text.index("fine   ")
    html = audit._repr_html_()
    assert "Special tokens are left alone" in html
    assert html.count("<tr>") == len(audit.lines)
    with pytest.raises(KeyError, match="no line 'rte'"):
        audit["rte"]


class Chatty(Plain):
    """A collator whose name and tokens would break a page."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self.__name__ = "<script>"


def test_markup_in_names_is_escaped(wordpiece, rows_of):
    assert "<script>" not in quick(Chatty(wordpiece), rows_of(wordpiece), wordpiece)._repr_html_()


def broken(output):
    return lambda rows: output


@pytest.mark.parametrize(
    ("collator", "message"),
    [
        (Plain, "found the class Plain. Give an instance"),
        ("mine:collate", "found str"),
        (broken(None), "this one returned NoneType"),
        (broken({"input_ids": torch.zeros(2, 3)}), "this one returned input_ids"),
        (broken({"input_ids": torch.zeros(2, 3), "labels": torch.zeros(2)}), r"\[2, 3\] and \[2\]"),
        (lambda rows: rows[0]["words"], "raised KeyError: 'words'. The rows have the columns input_ids"),
    ],
)
def test_what_cannot_be_audited_says_why(wordpiece, rows_of, collator, message):
    with pytest.raises(InputError, match=message):
        quick(collator, rows_of(wordpiece), wordpiece)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a text"] * 9, "The rows are texts"),
        ("a text", "found str"),
        ([{"ids": [1]}] * 9, "row 0 has ids"),
        ([[1, 2]] * 9, "row 0 has list"),
        ([{"input_ids": [[1, 2]]}] * 9, "another shape in row 0"),
        ([{"input_ids": []}] * 9, "another shape in row 0"),
        ([{"input_ids": [5, 6]}], "found 1"),
        ([{"input_ids": [5, 10**6]}] * 9, "token id 1000000, which is none of the tokenizer's"),
        ([{"input_ids": [5, 6], "attention_mask": [1]}] * 9, "2 input_ids and 1 values in attention_mask"),
    ],
)
def test_rows_that_are_not_tokenized_say_what_to_do(wordpiece, rows, message):
    with pytest.raises(InputError, match=message):
        quick(Plain(wordpiece), rows, wordpiece)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 15}, "Write 15% as 0.15"),
        ({"corruption": (0.8, 0.1, 0.2)}, "add to 1"),
        ({"batch_size": 1}, "batch_size must be at least 2; found 1"),
        ({"epochs": 3}, "epochs must be at least 4"),
        ({"seconds": -1}, "seconds must be at least 0"),
        ({"workers": -1}, "workers must be at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(wordpiece, rows_of, settings, message):
    with pytest.raises(InputError, match=message):
        quick(Plain(wordpiece), rows_of(wordpiece), wordpiece, **settings)
