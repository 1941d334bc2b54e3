"""What a Masker masks together: its `unit` argument, checked and applied to a batch.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking.batch_functions import fingerprint_of, plain_function
from maskwise.masking.columns import ADDED_KEYS, KEEP_COLUMNS
from maskwise.masking.own_results import checked_units
from maskwise.masking.units import MAX_WORD_PIECES, Spans, Units, own_units, span_units, token_units, word_units
from maskwise.masking.word_marks import WordMarks, checked_word_marks
from maskwise.recipes.masking_keys import UNITS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UnitFunction = Callable[[Mapping[str, Any]], Units | Tensor]


class UnitRule:
    """Divides batches into units.

    Args:
        unit: `token`, `word`, `span`, `Spans(...)`, or a function of a prepared batch that returns group ids [B, T]
            (never split; -1: a unit alone) or `Units(atoms, groups)` (shortened by atoms).
        tokenizer: Whose word ids the rows have.
        max_word_pieces: A longer word falls back to its pieces; None: none does. It does not hold for own units.

    Raises:
        InputError: For another name or a class, and if the tokenizer's words cannot be told apart.
    """

    def __init__(
        self,
        unit: str | Spans | UnitFunction,
        tokenizer: PreTrainedTokenizerBase,
        max_word_pieces: int | None = MAX_WORD_PIECES,
    ) -> None:
        if isinstance(unit, type):
            raise InputError(f"A unit is an object, and {unit.__name__} is its class: write {unit.__name__}().")
        if isinstance(unit, str) and unit not in UNITS:
            raise InputError(
                f"No unit {unit!r}; there are {', '.join(UNITS)}, Spans(...), and functions of your own that return "
                f"group ids [B, T].{nearest(unit, UNITS)}"
            )
        if not (isinstance(unit, str | Spans) or callable(unit)):
            raise InputError(f"A unit is one of {', '.join(UNITS)}, Spans(...) or a function; found {unit!r}.")
        if max_word_pieces is not None and max_word_pieces < 1:
            raise InputError(
                f"max_word_pieces is at least 1, or None for words of any length; found {max_word_pieces}."
            )
        self.unit, self.max_word_pieces = unit, max_word_pieces
        self.spans = Spans() if unit == "span" else unit if isinstance(unit, Spans) else None
        self.function = unit if not isinstance(unit, str | Spans) else None
        self.columns: tuple[str, ...] = tuple(getattr(plain_function(self.function), "columns", ()))
        self._needs_words = unit == "word" or (self.spans is not None and self.spans.atom == "word")
        self._marks: WordMarks | None = checked_word_marks(tokenizer) if self._needs_words else None

    @property
    def goes_by_marks(self) -> bool:
        """Whether words begin where the vocabulary marks them, since the tokenizer gives a whole text one word id."""
        return self._marks is not None

    @property
    def is_token(self) -> bool:
        """Whether every token is a unit: budgets are then whole numbers of tokens."""
        return self.unit == "token"

    @property
    def name(self) -> str:
        """What messages and records call it."""
        if isinstance(self.unit, str | Spans):
            return self.unit if isinstance(self.unit, str) else repr(self.unit)
        plain = plain_function(self.unit)
        return getattr(plain, "__name__", type(plain).__name__)

    def fingerprint(self) -> str:
        """Returns what it is, for records: a unit of your own by its module, name and arguments."""
        return self.name if self.function is None else fingerprint_of(self.function)

    def __call__(self, batch: Mapping[str, Any], length_noise: Callable[[], Tensor]) -> Units:
        """Returns the units of a prepared batch; `length_noise` draws what `span_units` takes."""
        eligible_BT = batch["eligible"]
        if self.function is not None:
            return own_units(checked_units(self.function(batch), self.name, eligible_BT), eligible_BT)
        atoms = self._words(batch) if self._needs_words else token_units(eligible_BT)
        return atoms if self.spans is None else span_units(atoms, length_noise(), self.spans)

    def fate_ids(self, units: Units) -> Tensor:
        """Returns the ids [B, T] of what shares one fate: [MASK], a random token each, or unchanged."""
        return units.atoms_BT if self.spans is not None and self.spans.fate == "atom" else units.groups_BT

    def _words(self, batch: Mapping[str, Any]) -> Units:
        if "word_ids" not in batch:
            found = ", ".join(key for key in batch if key not in ADDED_KEYS)
            raise InputError(
                f"unit={self.name!r} needs a `word_ids` column (-1 at special tokens); found {found}. `maskwise "
                "prepare` stores it; in your own script take it from the tokenizer's encoding.word_ids(). "
                + KEEP_COLUMNS
            )
        word_ids_BT, begins_BT = batch["word_ids"].to(torch.int64), None
        if self._marks is not None:
            self._marks = self._marks.to_tensors(word_ids_BT.device)
            begins_BT = self._marks.starts(batch["input_ids"])
        return word_units(word_ids_BT, batch["eligible"], self.max_word_pieces, begins_BT)
