"""Columns of one's own in a data folder, such as parts of speech or entities, which a score or a unit reads.

Shapes: L tokens of one block.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.atomic_folder import atomic_folder
from maskwise.files.checksums import record_files
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tokens.blocks import MANIFEST, SPLITS, TOKEN_COUNTS, TOKENIZER, DataFolder, open_data
from maskwise.lab.tokens.content import write_prepare_record
from maskwise.masking.columns import MASKING_KEYS, declared_columns
from maskwise.progress import Progress, silent_if_not_shown

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_ROWS_AT_ONCE = 1000
TYPES = {"i": "int32", "u": "int32", "b": "int32", "f": "float32"}  # by NumPy's kind


@silent_if_not_shown
def add_column(
    data: str | PathLike[str],
    name: str,
    function: Callable[[Mapping[str, Any]], Any],
    *,
    out: str | PathLike[str],
    show: bool = True,
) -> DataFolder:
    """Copies a data folder with one more column, which a score or a unit reads as `batch[name]`.

    Args:
        data: A data folder.
        name: The new column.
        function: What it holds for a row: `function(row)` returns one number for each of its L tokens (whole numbers,
            -1 at special tokens, or fractions), or one number for the row. The row has `input_ids`, `word_ids` and the
            folder's other columns as lists.
        out: The folder to make.
        show: Whether progress is shown.

    Returns:
        The new data folder.

    Raises:
        InputError: For a name that is taken, and if the function returns anything else; nothing is left behind then.

    Example:
        ```python
        from maskwise.lab import add_column

        add_column("data", "tags", lambda row: [int(i > 500) for i in row["input_ids"]], out="tagged")
        ```
    """
    folder, new = open_data(Path(data)), Path(out)
    declared_columns([name], ())
    taken = [*dict.fromkeys([*folder.rows("train").column_names, *sorted(MASKING_KEYS)])]
    if name in taken:
        raise InputError(f"{folder.path} has a column {name!r} already, or batches do: {', '.join(taken)}. Rename it.")
    recorder = Recorder()
    with recorder.attempt_in(None):
        _copy_with_column(folder, name, function, new, show)
        finished = open_data(new)
        write_prepare_record(finished, {"data": str(folder.path), "column": name, "out": str(new)}, recorder)
    return finished


def _copy_with_column(
    folder: DataFolder, name: str, function: Callable[[Mapping[str, Any]], Any], new: Path, show: bool
) -> None:
    with atomic_folder(new) as made, Progress("add column", None, "blocks", show=show) as progress:
        shutil.copytree(folder.path / TOKENIZER, made / TOKENIZER)
        shutil.copyfile(folder.path / TOKEN_COUNTS, made / TOKEN_COUNTS)
        kind = None
        for split in SPLITS:
            kind = _write(folder.rows(split), made / f"{split}.arrow", name, function, kind, progress)
        names = [*(f"{split}.arrow" for split in SPLITS), TOKEN_COUNTS, TOKENIZER]
        manifest = folder.manifest | {"files": record_files(made, names)}
        manifest |= {"own_columns": [*folder.manifest.get("own_columns", []), name]}
        atomic_write(made / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False))


def _write(
    rows: Dataset,
    path: Path,
    name: str,
    function: Callable[[Mapping[str, Any]], Any],
    kind: tuple[str, bool] | None,
    progress: Progress,
) -> tuple[str, bool] | None:
    """Writes one split, and returns the kind of the column: its type, and whether it has one number per token."""
    from datasets import Features, List, Value
    from datasets.arrow_writer import ArrowWriter

    writer = None
    for table, values in _chunks(rows, function, name):
        kind = kind or (TYPES[values[0].dtype.kind], values[0].ndim == 1)
        feature = List(Value(kind[0])) if kind[1] else Value(kind[0])
        features = Features({**rows.features, name: feature})
        writer = writer or ArrowWriter(path=str(path), features=features)
        column = _arrow(values, kind, name)
        table = table.append_column(features.arrow_schema.field(name), column)
        writer.write_table(table.cast(features.arrow_schema))
        progress.advance(len(table))
    if writer is None:  # a split without blocks
        shutil.copyfile(rows.cache_files[0]["filename"], path)
    else:
        writer.finalize()
    return kind


def _chunks(
    rows: Dataset, function: Callable[[Mapping[str, Any]], Any], name: str
) -> Iterator[tuple[pa.Table, list[np.ndarray]]]:
    """Yields consecutive blocks with the checked values of each."""
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, len(rows))
        plain = [rows[number] for number in range(first, last)]
        values = [_checked(function(row), row, first + place, name) for place, row in enumerate(plain)]
        yield rows.data.table.slice(first, last - first), values


def _checked(found: Any, row: Mapping[str, Any], number: int, name: str) -> np.ndarray:
    """One row's numbers [L], or its one number."""
    length = len(row["input_ids"])
    try:
        values = np.asarray(found)
    except ValueError:
        values = np.array(None, dtype=object)
    is_fitting = values.shape in ((), (length,)) and values.dtype.kind in TYPES
    if not is_fitting or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise InputError(
            f"The column {name!r} needs one number for each of the {length} tokens of a block, or one for the block; "
            f"the function returned {found!r:.80} for block {number}."
        )
    return values


def _arrow(values: list[np.ndarray], kind: tuple[str, bool], name: str) -> pa.Array:
    import pyarrow as pa

    if any((one.ndim == 1) != kind[1] or (kind[0] == "int32" and one.dtype.kind == "f") for one in values):
        raise InputError(
            f"The column {name!r} has numbers per token in some blocks and per block in others, or fractions in some "
            "and none in others: return the same kind for every block."
        )
    if not kind[1]:
        return pa.array(np.array([one.item() for one in values]).astype(kind[0]))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in values])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(values).astype(kind[0])))
