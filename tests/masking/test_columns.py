"""Columns of the rows: padded, handed to score and unit, kept from the model; and rows that cannot be a batch.

Shapes: B sequences, T positions.
"""

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.collator import MaskingCollator
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import StatefulScore, uniform

ROWS = [
    {"input_ids": [2, 20, 21, 3], "tags": [-1, 5, 6, -1], "weights": [0.0, 0.5, 1.5, 0.0], "source": 1},
    {"input_ids": [2, 22, 3], "tags": [-1, 6, -1], "weights": [0.0, 2.5, 0.0], "source": 4},
]
NOUN = 6


def nouns(batch):
    return (batch["tags"] == NOUN).float()


class Nouns(StatefulScore):
    columns = ("tags",)
    is_local = True

    def __call__(self, batch):
        return nouns(batch)


def by_tag(batch):
    return batch["tags"]


by_tag.columns = ("tags",)


def test_declared_columns_are_padded_by_their_kind():
    batch = pad_batch(ROWS, 0, columns=["tags", "weights", "source"])
    assert batch["tags"].tolist() == [[-1, 5, 6, -1], [-1, 6, -1, -1]]
    assert batch["weights"].tolist() == [[0.0, 0.5, 1.5, 0.0], [0.0, 2.5, 0.0, 0.0]]
    assert batch["source"].tolist() == [1, 4]
    assert "tags" not in pad_batch(ROWS, 0)


def test_columns_of_arrays_and_tensors_are_taken_as_lists_are():
    rows = [{key: np.array(value) for key, value in ROWS[0].items()}, {k: torch.tensor(v) for k, v in ROWS[1].items()}]
    columns = ["tags", "weights", "source"]
    found, expected = pad_batch(rows, 0, columns=columns), pad_batch(ROWS, 0, columns=columns)
    assert all(torch.equal(found[key].float(), expected[key].float()) for key in expected)


def test_columns_for_the_model_are_padded_with_0_if_the_rows_have_them():
    rows = [row | {"token_type_ids": [1] * len(row["input_ids"]), "text": "a"} for row in ROWS]
    named = pad_batch(rows, 0, inputs={"token_type_ids", "position_ids"})
    assert named["token_type_ids"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]] and "position_ids" not in named
    rest = pad_batch(rows, 0, columns=["tags"], inputs=None)
    assert set(rest) == {"input_ids", "attention_mask", "tags", "weights", "token_type_ids"}
    boxes = [{"input_ids": [7, 8], "bbox": [[0, 1], [2, 3]]}, {"input_ids": [9], "bbox": [[4, 5]]}]
    assert pad_batch(boxes, 0, inputs=None)["bbox"].tolist() == [[[0, 1], [2, 3]], [[4, 5], [0, 0]]]


@pytest.mark.parametrize(
    "masker_of",
    [
        lambda tokenizer: Masker(nouns, tokenizer, pick="high", columns=("tags",)),
        lambda tokenizer: Masker(Nouns(), tokenizer, pick="high"),
        lambda tokenizer: Masker(Nouns(), tokenizer, pick="high", columns=["tags", "source"]),
    ],
    ids=["a function", "a score that declares them", "both"],
)
def test_declared_columns_reach_the_score_and_never_the_model(tiny_tokenizer, masker_of):
    masker = masker_of(tiny_tokenizer)
    loop = masker(pad_batch(ROWS, 0, columns=masker.columns))
    collator = MaskingCollator(masker)
    collator.set_epoch(0)
    rows = [row | {"token_type_ids": [0] * len(row["input_ids"])} for row in ROWS]
    for masked, others in ((loop, set()), (collator(rows), {"weights", "token_type_ids"})):
        assert set(masked) == {"input_ids", "attention_mask", "labels"} | others
        assert (masked["labels"] != IGNORE).tolist() == [[False, False, True, False], [False, True, False, False]]


def test_a_unit_has_its_columns_too_declared_by_the_masker_or_by_itself(tiny_tokenizer):
    def groups(batch):
        return batch["tags"]

    for masker in (
        Masker(uniform, tiny_tokenizer, unit=groups, columns=["tags"]),
        Masker(uniform, tiny_tokenizer, unit=by_tag),
    ):
        assert masker.columns == ("tags",)
        assert "tags" not in masker(pad_batch(ROWS, 0, columns=masker.columns))


def test_the_model_gets_what_is_named_and_nothing_else(tiny_tokenizer):
    rows = [row | {"token_type_ids": [0] * len(row["input_ids"])} for row in ROWS]
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, model_inputs=["token_type_ids"]))
    collator.set_epoch(0)
    assert set(collator(rows)) == {"input_ids", "attention_mask", "labels", "token_type_ids"}
    batch = {"input_ids": torch.tensor([[7, 8]]), "token_type_ids": torch.zeros(1, 2), "other": torch.zeros(1)}
    assert set(Masker(uniform, tiny_tokenizer)(batch)) == {"input_ids", "labels", "token_type_ids", "other"}
    named = Masker(uniform, tiny_tokenizer, model_inputs=["token_type_ids"])
    assert set(named(batch)) == {"input_ids", "labels", "token_type_ids"}


def test_what_a_row_is_grouped_by_may_be_a_number_of_the_row(tiny_tokenizer):
    seen = []
    masker = Masker(lambda batch: seen.append(batch["source"]) or uniform(batch), tiny_tokenizer, columns=["source"])
    assert "source" not in masker(pad_batch(ROWS, 0, columns=masker.columns))
    assert seen[0].tolist() == [1, 4]


def test_word_ids_with_none_are_taken_as_minus_1():
    """What tokenizers give special tokens."""
    rows = [{"input_ids": [2, 20, 3], "word_ids": [None, 0, None]}, {"input_ids": [2], "word_ids": (None,)}]
    assert pad_batch(rows, 0)["word_ids"].tolist() == [[-1, 0, -1], [-1, -1, -1]]


@pytest.mark.parametrize("name", ["state", "rate", "eligible", "mask_token_id", "labels"])
def test_a_name_that_the_masking_uses_itself_is_refused(tiny_tokenizer, name):
    with pytest.raises(InputError, match=f"column '{name}' cannot be declared"):
        Masker(uniform, tiny_tokenizer, columns=[name])
    if name != "labels":
        with pytest.raises(InputError, match=f"rows have a column '{name}'"):
            pad_batch([{"input_ids": [7], name: [1]}], 0)
        with pytest.raises(InputError, match=f"batch has the key '{name}'"):
            Masker(uniform, tiny_tokenizer)({"input_ids": torch.tensor([[7]]), name: torch.tensor([[1]])})


def test_one_text_in_place_of_several_columns_is_refused(tiny_tokenizer):
    with pytest.raises(InputError, match=r"found the text 'tags'. Write columns=\('tags',\)"):
        Masker(uniform, tiny_tokenizer, columns="tags")


def test_the_model_cannot_be_given_what_is_for_the_masking(tiny_tokenizer):
    for name in ("tags", "word_ids"):
        with pytest.raises(InputError, match=f"column '{name}' is for the masking.*leave it out of model_inputs"):
            Masker(uniform, tiny_tokenizer, columns=["tags"], model_inputs=["bbox", name])
    with pytest.raises(InputError, match=r"Write model_inputs=\('bbox',\)"):
        Masker(uniform, tiny_tokenizer, model_inputs="bbox")


def test_a_function_declares_its_columns_by_an_attribute_as_a_unit_does(tiny_tokenizer):
    assert Masker(by_tag, tiny_tokenizer).columns == ("tags",)


def test_a_column_that_is_missing_names_what_takes_it_away(tiny_tokenizer):
    masker = Masker(nouns, tiny_tokenizer, columns=["tags"])
    with pytest.raises(InputError, match=r"needs the column 'tags'; found input_ids.*remove_unused_columns=False"):
        masker({"input_ids": torch.tensor([[7]])})
    collator = MaskingCollator(masker)
    collator.set_epoch(0)
    with pytest.raises(InputError, match=r"needs the column 'tags'; found input_ids.*remove_unused_columns=False"):
        collator([{"input_ids": [7]}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row; found none"),
        (["a text"], r"Row 0 of the batch is not tokenized: it is the text 'a text'. Write tokenize_rows\(texts"),
        ([{"input_ids": [7]}, {"text": "a"}], r"Row 1 .* found the columns text. Write tokenize_rows\(\[row\['text'\]"),
        ([{"input_ids": [7]}, (3,)], "Row 1 of the batch is not tokenized: rows are .* with input_ids; found tuple"),
        ([{"input_ids": [7], "word_ids": [0]}, {"input_ids": [7]}], "row 1 .* needs the column 'word_ids'"),
        ([{"input_ids": [7, 8], "word_ids": [0]}], "word_ids' of row 0 .* has 1 values, and the row has 2 input_ids"),
        ([{"input_ids": [7], "tags": [5]}, {"input_ids": [7], "tags": 5}], "'tags' of row 1 .* has one value"),
        ([{"input_ids": [7], "tags": ["NOUN"]}], "'tags' of row 0 .* not numbers: .*NOUN"),
        ([{"input_ids": [7], "tags": "NOUN"}], "'tags' has values that are not numbers: 'NOUN'"),
        ([{"input_ids": [7], "tags": [None]}], "'tags' of row 0 .* not numbers"),
        ([{"input_ids": ["a"], "tags": [1]}], "'input_ids' of row 0 .* not numbers"),
    ],
)
def test_rows_that_are_no_batch_are_an_error_that_names_the_row(rows, message):
    with pytest.raises(InputError, match=message):
        pad_batch(rows, 0, columns=["tags"] if any("tags" in row for row in rows) else [])
