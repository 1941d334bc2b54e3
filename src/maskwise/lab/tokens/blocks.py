"""Token blocks: how documents become rows, and the data folder that holds them.

A data folder holds

    train.arrow, valid.arrow    rows; `valid.arrow` may be empty
    tokenizer/                  what `AutoTokenizer.from_pretrained` loads
    token_counts.npy            int64 [V]: how often each id occurs in the training blocks, special tokens included
    manifest.json               written last, with sizes and checksums: a folder without it is not a data folder

and a row is one block of at most `block` tokens, without padding:

    input_ids   [CLS] tokens [SEP]; the smallest of uint16 and int32 that holds the vocabulary
    word_ids    int16: -1 at [CLS] and [SEP], otherwise 0, 1, 2, ... by word; every block begins anew at 0
    label       only in `document` mode: the class of the text, where it was asked for (`python-docs`: the package)

and may have columns of your own (`add_column`), one number per token or one per row, which a score or a unit reads.

Legend: N documents, P pieces, K blocks, X tokens of all blocks one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from maskwise.errors import InputError, first_line
from maskwise.files.checksums import damage
from maskwise.files.json_text import read_json_object
from maskwise.files.path_names import path_text
from maskwise.lab.printed import Printed
from maskwise.lab.tokens.subwords import Pieces
from maskwise.masking.columns import NO_ID

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

Mode = Literal["concat", "document"]
SPLITS = ("train", "valid")
MANIFEST = "manifest.json"
MANIFEST_TYPES = {  # what is read of it without another look
    "block": int, "mode": str, "vocabulary": int, "tokenizer_sha256": str, "files": dict, "counts.words": int,
    **{f"counts.{what}.{split}": int for what in ("documents", "tokens", "blocks") for split in ("train", "valid")},
}  # fmt: skip
KIND_NAMES = {int: "a number", str: "a text", dict: "a table"}
TOKENIZER = "tokenizer"
TOKEN_COUNTS = "token_counts.npy"
ROW_COLUMNS = ["input_ids", "word_ids"]
BATCH_TOKENS = 1 << 20  # opening a file reads what it says of each record batch, one place on the disk after the other
NO_LENGTHS = np.zeros(0, np.int64)  # of a stream, which has no documents any more


class Blocks(NamedTuple):
    """Blocks end to end."""

    ids_X: np.ndarray  # int32
    words_X: np.ndarray  # int16
    lengths_K: np.ndarray  # int64


def lay_out(pieces: Pieces, body_lengths_K: np.ndarray, first: int, last: int) -> Blocks:
    """Returns the pieces cut into bodies of the lengths given, each between the ids `first` and `last`.

    A piece that `starts_P` marks begins a word, and so does the first of each body. A piece that is `last` itself, the
    border between two documents, belongs to no word.

    >>> pieces = Pieces(np.array([7, 8, 9]), np.array([True, False, True]), np.array([3]))
    >>> blocks = lay_out(pieces, np.array([2, 1]), first=1, last=2)
    >>> blocks.ids_X.tolist(), blocks.words_X.tolist()
    ([1, 7, 8, 2, 1, 9, 2], [-1, 0, 0, -1, -1, 0, -1])
    """
    is_border_P = pieces.ids_P == last
    starts_P = pieces.starts_P & ~is_border_P
    body_begins_K = np.cumsum(body_lengths_K) - body_lengths_K
    starts_P[body_begins_K] |= ~is_border_P[body_begins_K]
    words_P = np.cumsum(starts_P)
    words_P -= np.repeat(words_P[body_begins_K] - starts_P[body_begins_K], body_lengths_K) + 1
    words_P[is_border_P] = NO_ID

    lengths_K = body_lengths_K + 2
    ends_K = np.cumsum(lengths_K)
    ids_X = np.empty(int(lengths_K.sum()), np.int32)
    words_X = np.full(len(ids_X), NO_ID, np.int16)
    ids_X[ends_K - lengths_K], ids_X[ends_K - 1] = first, last
    place_P = np.arange(len(words_P)) + np.repeat(2 * np.arange(len(lengths_K)) + 1, body_lengths_K)
    ids_X[place_P], words_X[place_P] = pieces.ids_P, words_P
    return Blocks(ids_X, words_X, lengths_K)


def split_lengths(lengths_N: np.ndarray, most: int) -> np.ndarray:
    """Returns the lengths of the parts when each document is cut into parts of at most `most` pieces.

    >>> split_lengths(np.array([5, 2, 0, 4]), 2).tolist()
    [2, 2, 1, 2, 2, 2]
    """
    num_parts_N = -(-lengths_N // most)
    parts = np.full(int(num_parts_N.sum()), most, np.int64)
    has_parts = num_parts_N > 0
    parts[np.cumsum(num_parts_N)[has_parts] - 1] = (lengths_N - (num_parts_N - 1) * most)[has_parts]
    return parts


class BlockWriter:
    """Writes one split of a data folder row by row; memory holds one record batch of about `BATCH_TOKENS` tokens.

    `concat`: documents follow one another with [SEP] between them, and only the last block may be short.
    `document`: a block never crosses a document; a long document makes several blocks.
    Every token is written once in either mode.
    """

    def __init__(
        self, path: Path, *, mode: Mode, block: int, borders: tuple[int, int], vocabulary_size: int, labelled: bool
    ) -> None:
        from datasets import Features, List, Value
        from datasets.arrow_writer import ArrowWriter

        self.mode, self.body, self.borders = mode, block - 2, borders
        self.id_type = np.uint16 if vocabulary_size <= 1 << 16 else np.int32
        columns = {"input_ids": List(Value(np.dtype(self.id_type).name)), "word_ids": List(Value("int16"))}
        self._features = Features(columns | ({"label": Value("string")} if labelled else {}))
        self._writer = ArrowWriter(path=str(path), features=self._features)
        self._rest = Pieces(np.zeros(0, np.int32), np.zeros(0, bool), NO_LENGTHS)
        self._begun = False
        self.token_counts = np.zeros(vocabulary_size, np.int64)
        self.num_blocks = 0
        self._waiting: list[pa.Table] = []
        self._num_waiting_tokens = 0

    def add(self, pieces: Pieces, labels: Sequence[str | None]) -> None:
        """Writes the blocks that the documents fill."""
        if self.mode == "document":
            lengths_K = split_lengths(pieces.lengths_N, self.body)
            blocks_N = -(-pieces.lengths_N // self.body)
            labels_K = np.repeat(np.array(labels, object), blocks_N).tolist()
            self._write(lay_out(pieces, lengths_K, *self.borders), labels_K)
            return
        stream = _stream(pieces, self.borders[1])
        skip = 0 if self._begun else 1  # there is no border in front of the first document
        self._begun = self._begun or len(stream.ids_P) > 0
        ids_P = np.concatenate([self._rest.ids_P, stream.ids_P[skip:]])
        starts_P = np.concatenate([self._rest.starts_P, stream.starts_P[skip:]])
        num_full = len(ids_P) // self.body
        full = num_full * self.body
        self._rest = Pieces(ids_P[full:], starts_P[full:], NO_LENGTHS)
        self._write(
            lay_out(Pieces(ids_P[:full], starts_P[:full], NO_LENGTHS), np.full(num_full, self.body), *self.borders)
        )

    def close(self) -> None:
        """Writes the unfilled block, and ends the file."""
        if left := len(self._rest.ids_P):
            self._write(lay_out(self._rest, np.array([left]), *self.borders))
        nothing = Blocks(np.zeros(0, np.int32), np.zeros(0, np.int16), NO_LENGTHS)
        self._waiting.append(self._table(nothing, []))  # a split without blocks is a file all the same
        self._write_waiting()
        self._writer.finalize()

    def _write(self, blocks: Blocks, labels: Sequence[str | None] = ()) -> None:
        if not len(blocks.lengths_K):
            return
        self._waiting.append(self._table(blocks, labels))
        self._num_waiting_tokens += len(blocks.ids_X)
        if self._num_waiting_tokens >= BATCH_TOKENS:
            self._write_waiting()
        self.token_counts += np.bincount(blocks.ids_X, minlength=len(self.token_counts))
        self.num_blocks += len(blocks.lengths_K)

    def _write_waiting(self) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting)
        self._writer.write_table(table, writer_batch_size=max(len(table), 1))
        self._waiting, self._num_waiting_tokens = [], 0

    def _table(self, blocks: Blocks, labels: Sequence[str | None]) -> pa.Table:
        import pyarrow as pa

        offsets = pa.array(np.concatenate([[0], np.cumsum(blocks.lengths_K)]).astype(np.int32))
        columns = {
            "input_ids": pa.ListArray.from_arrays(offsets, pa.array(blocks.ids_X.astype(self.id_type))),
            "word_ids": pa.ListArray.from_arrays(offsets, pa.array(blocks.words_X)),
        }
        if "label" in self._features:
            columns["label"] = pa.array(list(labels), pa.string())
        return pa.table(columns, schema=self._features.arrow_schema)


def _stream(pieces: Pieces, border: int) -> Pieces:
    """Returns the documents as one stream, `border` in front of each that has any piece."""
    lengths_N = pieces.lengths_N[pieces.lengths_N > 0]
    begins_N = np.cumsum(lengths_N) - lengths_N
    ids_P, starts_P = np.insert(pieces.ids_P, begins_N, border), np.insert(pieces.starts_P, begins_N, True)
    return Pieces(ids_P, starts_P, lengths_N)


class DataFolder(Printed):
    """A finished data folder: `path`, `manifest`, and what is in it, loaded when asked for."""

    def __init__(self, path: Path, manifest: dict) -> None:
        self.path, self.manifest = path, manifest

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        counts, manifest = self.manifest["counts"], self.manifest
        blocks = " and ".join(f"{counts['blocks'][split]:,} {split}" for split in ("train", "valid"))
        return (
            f"DataFolder({str(self.path)!r}: {blocks} blocks of {manifest['block']} tokens, "
            f"vocabulary of {manifest['vocabulary']:,})"
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer whose ids the blocks hold; raises InputError if its files are damaged."""
        from maskwise.lab.tokens.tokenizer import open_tokenizer

        return open_tokenizer(str(self.path / TOKENIZER))

    @cached_property
    def train(self) -> Dataset:
        """The training blocks, memory-mapped: `input_ids`, `word_ids` and your own columns."""
        return self._blocks("train")

    @cached_property
    def valid(self) -> Dataset:
        """The held-out blocks, memory-mapped; no document has blocks in both."""
        return self._blocks("valid")

    def _blocks(self, split: Literal["train", "valid"]) -> Dataset:
        rows = self.rows(split)
        return rows.select_columns([name for name in rows.column_names if name != "label"])

    def rows(self, split: Literal["train", "valid"]) -> Dataset:
        """Returns the rows of a split with all their columns, `label` included if there is one.

        Raises:
            InputError: If the file is damaged, has other columns than blocks have, or not as many rows as the manifest.
        """
        from datasets import Dataset

        path = self.path / f"{split}.arrow"
        try:
            rows = Dataset.from_file(str(path))
        except Exception as error:  # whatever a damaged file lets Arrow raise
            raise _broken(self.path, f"{path.name} cannot be read ({first_line(error)})") from None
        if missing := [name for name in ROW_COLUMNS if name not in rows.column_names]:
            raise _broken(self.path, f"{path.name} has no column {missing[0]!r}; found: {', '.join(rows.column_names)}")
        if len(rows) != (expected := self.manifest["counts"]["blocks"][split]):
            raise _broken(self.path, f"{path.name} has {len(rows):,} blocks, and manifest.json {expected:,}")
        return rows

    @cached_property
    def token_counts(self) -> np.ndarray:
        """int64 [V]: how often each id occurs in the training blocks, special tokens included.

        Raises InputError if the file is damaged.
        """
        try:
            counts_V = np.load(self.path / TOKEN_COUNTS)
        except (OSError, ValueError, EOFError) as error:
            raise _broken(self.path, f"{TOKEN_COUNTS} cannot be read ({first_line(error)})") from None
        if not isinstance(counts_V, np.ndarray) or counts_V.ndim != 1 or counts_V.dtype.kind not in "iu":
            raise _broken(self.path, f"{TOKEN_COUNTS} is not one row of whole numbers")
        return counts_V


def open_data(path: str | Path) -> DataFolder:
    """Returns the data folder at `path`. Sizes are compared, and the content of files of at most 1 MiB.

    Args:
        path: A folder that `prepare` made.

    Returns:
        The folder: `train` and `valid` are rows for a trainer, `tokenizer` and `token_counts` what masks need.

    Raises:
        InputError: If there is none, if files of it are missing or not as they were written, or if its manifest is
            damaged.

    Example:
        ```python
        from maskwise import MaskingTrainer
        from maskwise.lab import open_data

        data = open_data("data")
        MaskingTrainer("run", masker="whole-word", train_dataset=data.train, eval_dataset=data.valid).train()
        ```
    """
    folder = Path(path_text(path, "data folder"))
    if not (folder / MANIFEST).is_file():
        state = "holds no manifest.json, so it is not a finished data folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {state}.\nMake one with: maskwise prepare SOURCE... --out {folder}")
    missing = [name for name in ("train.arrow", "valid.arrow", TOKENIZER, TOKEN_COUNTS) if not (folder / name).exists()]
    if missing:
        raise _broken(folder, f"{', '.join(missing)} missing")
    manifest = read_json_object(folder / MANIFEST, advice="Prepare the folder again.")
    if fault := _fault_of(manifest):
        raise _broken(folder, f"manifest.json {fault}")
    if found := damage(folder, manifest["files"], read_all=False):
        raise _broken(folder, found[0])
    return DataFolder(folder, manifest)


def _broken(folder: Path, fault: str) -> InputError:
    return InputError(f"the data folder {folder} is broken: {fault}.\nPrepare it again.")


def _fault_of(manifest: dict[str, Any]) -> str:
    """Returns what of a manifest is missing or of another type, or an empty text."""
    for name, kind in MANIFEST_TYPES.items():
        value: Any = manifest
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"has {value!r:.40} as {name}, and not {KIND_NAMES[kind]}"
    return ""
