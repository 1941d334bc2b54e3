"""An audit of anybody's masking: is what a collator makes of rows what a masked language model should be trained on?

Shapes: R rows, N tokens of all rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import InputError
from maskwise.evaluation.auditing.bands import band_lines
from maskwise.evaluation.auditing.cases import Cases
from maskwise.evaluation.auditing.epochs import CollatedBatch, Epoch, batches_of, collate_batches, read_epoch, set_epoch
from maskwise.evaluation.auditing.examples import Examples
from maskwise.evaluation.auditing.expected import Expected, expected_of
from maskwise.evaluation.auditing.information import information_lines, padding_share
from maskwise.evaluation.auditing.leak import leak_line
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.overlap import Masks
from maskwise.evaluation.auditing.processes import Processes, random_state_of_its_own
from maskwise.evaluation.auditing.report import Audit
from maskwise.evaluation.auditing.rows import Row, RowFacts, TokenKinds, take_rows
from maskwise.evaluation.auditing.runs import make_runs
from maskwise.evaluation.auditing.streams import stream_lines
from maskwise.evaluation.auditing.tally import Tally
from maskwise.evaluation.auditing.words import words_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check(
    collator: Callable[[list[Any]], Any],
    rows: Iterable[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    rate: float | None = None,
    corruption: tuple[float, float, float] | None = None,
    uniform: bool | None = None,
    batch_size: int = 16,
    epochs: int = 12,
    workers: int = 2,
    max_rows: int = 512,
    seconds: float = 60.0,
    seed: int = 0,
) -> Audit:
    """Audits the masking of a collator: what it makes of the rows, over epochs, workers, ranks and a resume.

    Each line of the audit has a verdict. What must never happen (a special token or padding with a label, a label
    that is not the original token, ...) is a fault from the first case on, and fine only after enough was seen. What
    has a tolerance (the rate, what masked tokens become, ...) is a fault only if its 99.99% interval lies wholly
    outside of the band. Whether masks are drawn anew is judged by how many tokens two masks share. What cannot be
    decided yet is collated again, in further epochs, for at most `seconds`.

    The collator and the caller's rows stay as they are, as far as the collator can be copied, and so do the random
    states of Python, NumPy and torch.

    Args:
        collator: Anything that makes a batch with `input_ids` and `labels` of a list of rows. If it has `set_epoch`,
            it is told each epoch; if it has `state_dict` and `load_state_dict`, they are used for the resume.
        rows: Tokenized rows with `input_ids`, and whatever else the collator needs. A few hundred decide most.
        tokenizer: The tokenizer of the rows.
        rate: The share of tokens that is meant to be masked, 0 to 1. Without it the collator's own setting counts
            (`Masker`, `mlm_probability`); without that the rate is reported and not judged.
        corruption: The shares of masked tokens that are meant to become [MASK], to become random tokens, and to stay;
            without it the collator's own settings count.
        uniform: Whether all tokens of a row are meant to be masked equally often; without it True, unless the
            collator is known to choose by scores. If not, rates by position and word length are not judged.
        batch_size: Rows per batch.
        epochs: Epochs in which the streams are compared, at least 4.
        workers: Loader workers in the run with workers; 0 leaves that run out.
        max_rows: How many rows are used, from the first on.
        seconds: How long further epochs may take if something is not decided.
        seed: The seed of the random states that the runs begin with.

    Returns:
        The audit: its lines with verdicts, numbers and examples. It prints itself as a table, in a notebook too.

    Raises:
        InputError: For rows that are not tokenized, a tokenizer without a mask token, and a collator that raises, or
            returns no `input_ids` and `labels` of one shape.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"[PAD]": 0, "[MASK]": 1, "a": 2, "b": 3}, unk_token="a"))
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", mask_token="[MASK]")
        >>> rows = [{"input_ids": [2, 3] * 10} for _ in range(8)]
        >>> audit = check(DataCollatorForLanguageModeling(tokenizer), rows, tokenizer, seconds=0)
        >>> [line.name for line in audit.faults]  # its random replacements are special tokens at times
        ['replacements']
    """
    _check_arguments(collator, batch_size, epochs, workers, max_rows, seconds)
    taken = take_rows(rows, max_rows)
    facts = RowFacts.of(taken, TokenKinds.of(tokenizer))
    expected = expected_of(collator, rate, corruption, uniform)
    processes = Processes(collator, tokenizer=tokenizer)
    # Before the collator is first used here: each of these runs begins with one that is new.
    runs = make_runs(processes, taken, facts, batch_size=batch_size, epochs=epochs, workers=workers, seed=seed)
    main = _MainRun(processes.collator, taken, facts, tokenizer, batch_size, expected)
    started_at = time.monotonic()
    with random_state_of_its_own(seed):
        main.collate(epochs, keep=epochs)
        lines = main.lines()
        while any(line.needs_more for line in lines) and time.monotonic() - started_at < seconds:
            main.collate(main.tally.num_epochs, until=started_at + seconds)
            lines = main.lines()
    masks = Masks.of(main.kept, facts)
    lines += stream_lines(masks, facts, main.batches, runs, expected, main.examples)
    lines.append(leak_line(main.kept, facts, main.examples))
    lines += information_lines(main.tally)
    return Audit(
        collator=_name(collator),
        lines=tuple(lines),
        num_rows=len(taken),
        num_tokens=int(main.tally.seen_N.sum()),
        num_epochs=main.tally.num_epochs,
        seconds=time.monotonic() - started_at,
    )


@dataclass
class _MainRun:
    """The epochs in this process: counts over all of them, and the first ones in full."""

    collator: Any
    rows: Sequence[Row]
    facts: RowFacts
    tokenizer: PreTrainedTokenizerBase
    batch_size: int
    expected: Expected
    kept: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batches = batches_of(len(self.rows), self.batch_size)
        self.examples = Examples(self.facts, self.tokenizer)
        self.cases = Cases(self.facts, self.examples)
        self.tally = Tally(self.facts, words_of(self.rows, self.facts, self.tokenizer))
        self.width_R = np.zeros(len(self.rows), dtype=np.int64)

    def collate(self, num_epochs: int, keep: int = 0, until: float | None = None) -> None:
        """Collates further epochs, no new one after `until`, and keeps the first `keep` of them in full."""
        for _ in range(num_epochs):
            number = self.tally.num_epochs
            set_epoch(self.collator, number)
            epoch = read_epoch(self._watched(number), self.facts)
            self.cases.add_epoch(epoch, number)
            self.tally.add_epoch(epoch)
            if len(self.kept) < keep:
                self.kept.append(epoch)
            if until is not None and time.monotonic() > until:
                return

    def lines(self) -> list[AuditLine]:
        """Returns the lines that depend on counts."""
        bands = band_lines(self.tally, self.expected, padding_share(self.tally, self.width_R))
        return [*self.cases.lines(), *(self._with_example(line) for line in bands)]

    def _watched(self, number: int) -> Iterator[CollatedBatch]:
        for batch in collate_batches(self.collator, self.rows, self.batches, self.facts):
            self.cases.add_batch(batch, self.rows, number)
            if not batch.aligned.is_flat:
                self.width_R[list(batch.rows)] = batch.collated.input_ids_BT.shape[1]
            yield batch

    def _with_example(self, line: AuditLine) -> AuditLine:
        """A row to look at: one without a label for that line, else the first one."""
        first = self.kept[0]
        labelled_R = self.facts.by_row(first.labelled_N)
        rows = np.flatnonzero(labelled_R == 0 if line.name == "empty_rows" else labelled_R > 0)
        row = int(rows[0]) if len(rows) else 0
        return replace(line, examples=(self.examples.of_epoch(first, 0, row),))


def _check_arguments(
    collator: object, batch_size: int, epochs: int, workers: int, max_rows: int, seconds: float
) -> None:
    if not callable(collator) or isinstance(collator, type):
        found = f"the class {collator.__name__}" if isinstance(collator, type) else type(collator).__name__
        raise InputError(f"A collator is called with a list of rows; found {found}. Give an instance or a function.")
    least = {"batch_size": (batch_size, 2), "epochs": (epochs, 4), "workers": (workers, 0), "max_rows": (max_rows, 2)}
    for name, (value, smallest) in {**least, "seconds": (seconds, 0)}.items():
        if value < smallest:
            raise InputError(f"{name} must be at least {smallest}; found {value}.")


def _name(collator: Any) -> str:
    return getattr(collator, "__name__", type(collator).__name__)


__all__ = ["Audit", "check"]
