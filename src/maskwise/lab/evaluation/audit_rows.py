"""Rows for an audit: windows of a text with the columns that a collator needs, or the blocks of a data folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from maskwise.errors import InputError, nearest
from maskwise.lab.text.sources import documents
from maskwise.lab.tokens.blocks import MANIFEST, TOKENIZER, open_data
from maskwise.masking.columns import NO_ID

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COLUMNS = ("word_ids", "offset_mapping", "example_id")


def audit_rows(
    source: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    num_rows: int = 512,
    length: int = 128,
    columns: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Returns up to `num_rows` rows of a text, or of a data folder that `maskwise prepare` made.

    A text is cut into windows of at most `length` tokens, which end with its document. Rows have what the tokenizer
    gives its model and `special_tokens_mask`.

    Args:
        source: A file, folder, glob, `hub:NAME[:CONFIG]` or `python-docs`, as `maskwise prepare` takes them, or a data
            folder.
        tokenizer: The tokenizer of the rows.
        num_rows: How many rows at most.
        length: Tokens per row at most, special tokens included.
        columns: What else a row has: `word_ids` (-1 at special tokens), `offset_mapping`, `example_id`.

    Raises:
        InputError: If the source cannot be read, has no text, or a column is unknown or cannot be had from it.
    """
    for column in columns:
        if column not in _COLUMNS:
            raise InputError(f"No column {column!r}; there are {', '.join(_COLUMNS)}.{nearest(column, _COLUMNS)}")
    is_data_folder = (Path(source) / MANIFEST).is_file()
    made = _blocks(source, tokenizer, columns) if is_data_folder else _windows(source, tokenizer, length, columns)
    rows = list(islice(made, num_rows))
    if "example_id" in columns:
        rows = [row | {"example_id": i} for i, row in enumerate(rows)]
    return rows


def _windows(
    source: str, tokenizer: PreTrainedTokenizerFast, length: int, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for document in documents([source]):
        encoded = tokenizer(
            document.text,
            truncation=True,
            max_length=length,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
            return_offsets_mapping="offset_mapping" in columns,
        )
        kept = [key for key in encoded if key != "overflow_to_sample_mapping"]
        for i in range(len(encoded["input_ids"])):
            row = {key: encoded[key][i] for key in kept}
            if "word_ids" in columns:
                row["word_ids"] = [NO_ID if word is None else word for word in encoded.word_ids(i)]
            yield row


def _blocks(source: str, tokenizer: PreTrainedTokenizerFast, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    folder = open_data(source)
    if "offset_mapping" in columns:
        raise InputError(f"{source} holds blocks of tokens, which have no offset_mapping. Give the text instead.")
    if folder.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"{source} was made with another tokenizer. Give its own: --tokenizer {folder.path / TOKENIZER}"
        )
    for block in folder.train:
        row = cast(dict[str, Any], block)
        yield {key: list(row[key]) for key in ("input_ids", "word_ids") if key == "input_ids" or key in columns}
