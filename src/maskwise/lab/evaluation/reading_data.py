"""Words of sentences with the times people took to read them, as BabyLM's `reading_data.csv` has them.

The 205 sentences are those of de Varda et al. 2023. `Subtlex_log10` in that file is a natural logarithm, whatever its
name; for 30 words it is missing. The context "None" of one sentence is text here; BabyLM's own reader takes it for a
missing value where it is the context of the previous word, and leaves that word out of its regression.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from maskwise.errors import InputError

EYE_TRACKING = ("RTfirstfix", "RTfirstpass", "RTgopast", "RTrightbound")
SELF_PACED = "self_paced_reading_time"
FREQUENCY, LENGTH, CONTEXT_LENGTH, PREVIOUS_LENGTH = "Subtlex_log10", "length", "context_length", "prev_length"
NUMBERS = (FREQUENCY, LENGTH, CONTEXT_LENGTH, PREVIOUS_LENGTH, *EYE_TRACKING, SELF_PACED)
TEXTS = ("item", "word", "sentence", "prev_item", "prev_word")
SENTENCE = "sent_id"
NO_NUMBER = ("", "NA", "nan", "NaN")


def read_reading_times(path: str | Path) -> pd.DataFrame:
    """Returns one row per word.

    Columns: `word` with its left context `item`; `prev_word` with `prev_item`, empty if the file has none; `sent_id`;
    and the numbers of `NUMBERS` as floats, nan if missing.

    Raises:
        InputError: If the file cannot be read, lacks a column, or a value is not a number; names the column and line.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is not a readable CSV file: {error}.") from None
    missing = [name for name in (*TEXTS, SENTENCE, *NUMBERS) if name not in raw.columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; found: {', '.join(raw.columns)}.")
    columns = {name: raw[name].to_numpy() for name in (*TEXTS, SENTENCE)}
    columns |= {name: _numbers(path, name, raw[name].tolist()) for name in NUMBERS}
    frame = pd.DataFrame(columns)
    frame["item"] = _contexts(frame)
    return frame


def _numbers(path: str | Path, name: str, values: list[str]) -> np.ndarray:
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value not in NO_NUMBER:
            try:
                numbers[row] = float(value)
            except ValueError:
                raise InputError(f"{path}, line {row + 2:,}: {name!r} is not a number: {value!r:.60}.") from None
    return numbers


def _contexts(frame: pd.DataFrame) -> list[str]:
    """Returns the left contexts; one that the file has lost (it was the word "None") is taken from its sentence."""
    rows = zip(frame["item"], frame["sentence"], frame[CONTEXT_LENGTH], strict=True)
    return [item or " ".join(sentence.split()[: int(length)]) for item, sentence, length in rows]
