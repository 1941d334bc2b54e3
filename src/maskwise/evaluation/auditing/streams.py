"""Whether masks are drawn anew: over epochs, over the rows of a batch, by workers, on ranks, and after a resume.

A line is a fault if more than a tenth of what was judged has nearly the same mask; it is fine if so few have one that
a fault in one in twenty would have been met.
"""

from __future__ import annotations

from collections.abc import Sequence

from maskwise.evaluation.auditing import comparisons
from maskwise.evaluation.auditing.comparisons import MaskComparison
from maskwise.evaluation.auditing.examples import Examples
from maskwise.evaluation.auditing.expected import Expected
from maskwise.evaluation.auditing.intervals import STATED_SHARE, enough, lower_limit, upper_limit
from maskwise.evaluation.auditing.lines import AuditLine, ShownExample
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, count, percent
from maskwise.evaluation.auditing.overlap import Masks
from maskwise.evaluation.auditing.processes import Failure
from maskwise.evaluation.auditing.rows import RowFacts
from maskwise.evaluation.auditing.runs import Runs

FAULT_SHARE = 0.10
FEWEST_JUDGED = 20
_ROWS, _PAIRS, _BATCHES = ("row", "rows"), ("pair of rows", "pairs of rows"), ("batch", "batches")


def stream_lines(
    masks: Masks, facts: RowFacts, batches: Sequence[range], runs: Runs, expected: Expected, examples: Examples
) -> list[AuditLine]:
    """Returns the lines about independence; `masks` are those of the first epochs, in this process."""
    lines = [_epochs_line(masks, facts, expected, examples), _batch_line(masks, facts, batches, examples)]
    if runs.workers is not None:
        lines += _worker_lines(runs, expected, examples)
    lines += [_ranks_line(runs, examples), _resume_line(masks, runs, facts, expected, examples)]
    return [*lines, *_alike_seeds_line(runs, lines), *_pickle_line(runs)]


def verdict_of(num_alike: int, num_judged: int) -> AuditVerdict:
    """Returns the verdict over so many places, of which so many have masks that are alike.

    >>> str(verdict_of(30, 200)), str(verdict_of(3, 200)), str(verdict_of(0, 64)), str(verdict_of(0, 200))
    ('fault', 'not decided', 'not decided', 'fine')
    """
    if num_judged >= FEWEST_JUDGED and num_alike > FAULT_SHARE * num_judged:
        return AuditVerdict.FAULT
    return (
        AuditVerdict.FINE
        if num_judged and upper_limit(num_alike, num_judged) <= STATED_SHARE
        else AuditVerdict.NOT_DECIDED
    )


def _line(
    name: str,
    title: str,
    compared: MaskComparison,
    nouns: tuple[str, str],
    alike: str,
    examples: tuple[ShownExample, ...],
    by_design: bool = False,
) -> AuditLine:
    """One line of a comparison; `alike` ends the sentence "3 of 64 rows have ..."."""
    counts = {
        "alike": compared.num_alike,
        "judged": compared.num_judged,
        "needed": enough(STATED_SHARE),
        "overlap": compared.overlap,
        "by_chance": compared.by_chance,
    }
    if compared.overlap is None or compared.by_chance is None:
        text = f"No {nouns[0]} is long enough, or masked sparsely enough, to compare masks."
        return AuditLine(name, title, AuditVerdict.NOT_DECIDED, text, counts)
    have = "has" if compared.num_alike == 1 else "have"
    text = (
        f"{compared.num_alike:,} of {count(compared.num_judged, *nouns)} {have} {alike}; the mean overlap is "
        f"{percent(compared.overlap)}, by chance {percent(compared.by_chance)}."
    )
    verdict = verdict_of(compared.num_alike, compared.num_judged)
    if by_design and compared.num_alike:
        verdict = AuditVerdict.INFORMATION
        text += " The masker picks by scores that do not change, so this is meant."
    elif verdict is AuditVerdict.NOT_DECIDED and compared.num_alike:
        text += f" A fault is more than {percent(FAULT_SHARE, 0)}."
    elif verdict is AuditVerdict.NOT_DECIDED:
        text += f" To meet a fault in {percent(STATED_SHARE, 0)} of them, {enough(STATED_SHARE)} are needed."
    found = compared.num_alike, compared.num_judged
    share = Measure("alike", found[0] / found[1], lower_limit(*found), upper_limit(*found), (0.0, FAULT_SHARE))
    return AuditLine(name, title, verdict, text, counts, (share,), examples)


def _failed(name: str, title: str, failure: Failure, verdict: AuditVerdict = AuditVerdict.NOT_DECIDED) -> AuditLine:
    return AuditLine(name, title, verdict, f"The run gave no masks. {failure.reason}")


def _epochs_line(masks: Masks, facts: RowFacts, expected: Expected, examples: Examples) -> AuditLine:
    compared = comparisons.compare_over_epochs(masks, facts)
    shown = _two_epochs(masks, compared.place, examples)
    alike = f"nearly the same mask in all of {len(masks.masked_EN)} epochs"
    return _line("epochs", "Every epoch has its own masks", compared, _ROWS, alike, shown, expected.repeats)


def _batch_line(masks: Masks, facts: RowFacts, batches: Sequence[range], examples: Examples) -> AuditLine:
    compared, row = comparisons.within_batches(masks, facts, batches)
    shown: tuple[ShownExample, ...] = ()
    if compared.place is not None and row is not None:
        epoch = compared.place // len(batches)
        shown = tuple(examples.of_mask(masks.masked_EN[epoch], epoch, r) for r in (row, row + 1))
    alike = "the same mask in several rows"
    return _line("batch", "Every row of a batch has its own mask", compared, _BATCHES, alike, shown)


def _worker_lines(runs: Runs, expected: Expected, examples: Examples) -> list[AuditLine]:
    epochs, workers = "Every epoch has its own masks, with two workers", "Every worker draws its own masks"
    if isinstance(runs.workers, Failure):
        # An exception that the collator raises in a worker is a fault of its own; it did not raise it outside.
        verdict = AuditVerdict.FAULT if runs.workers.is_fault else AuditVerdict.NOT_DECIDED
        return [_failed("worker_epochs", epochs, runs.workers, verdict)]
    assert runs.workers is not None
    masks, pairs = runs.workers, runs.pairs
    own = examples.of_rows(pairs.facts, pairs.numbers)
    compared = comparisons.compare_over_epochs(masks, pairs.facts)
    alike = f"nearly the same mask in all of {len(masks.masked_EN)} epochs"
    shown = _two_epochs(masks, compared.place, own)
    lines = [_line("worker_epochs", epochs, compared, _ROWS, alike, shown, expected.repeats)]
    compared = comparisons.of_workers(masks, pairs)
    shown = _pair(masks, masks, compared.place, pairs.num_pairs, own, ("first worker", "second worker"))
    alike = "nearly the same mask from both workers"
    return [*lines, _line("workers", workers, compared, _PAIRS, alike, shown)]


def _ranks_line(runs: Runs, examples: Examples) -> AuditLine:
    title = "Every rank draws its own masks"
    if isinstance(runs.ranks, Failure):
        return _failed("ranks", title, runs.ranks)
    compared = comparisons.of_ranks(*runs.ranks, runs.pairs)
    own = examples.of_rows(runs.pairs.facts, runs.pairs.numbers)
    shown = _pair(*runs.ranks, compared.place, runs.pairs.num_pairs, own, ("rank 0", "rank 1"))
    return _line("ranks", title, compared, _PAIRS, "nearly the same mask on two ranks", shown)


def _resume_line(masks: Masks, runs: Runs, facts: RowFacts, expected: Expected, examples: Examples) -> AuditLine:
    title = "A resumed run does not repeat the first epoch"
    if isinstance(runs.resumed, Failure):
        return _failed("resume", title, runs.resumed)
    compared = comparisons.resumed_with_start(masks, runs.resumed, facts)
    shown: tuple[ShownExample, ...] = ()
    if compared.place is not None:
        row, half = compared.place, len(runs.resumed.masked_EN)
        epoch = int(masks.masked_EN[:half, facts.tokens_of(row)].sum(axis=1).argmax())
        shown = (
            examples.of_mask(masks.masked_EN[epoch], epoch, row),
            examples.of_mask(runs.resumed.masked_EN[epoch], half + epoch, row, f"epoch {half + epoch}, resumed"),
        )
    alike = "nearly the masks of the first epochs again"
    return _line("resume", title, compared, _ROWS, alike, shown, expected.repeats)


def _alike_seeds_line(runs: Runs, lines: Sequence[AuditLine]) -> list[AuditLine]:
    """What happens if all ranks are seeded alike, unless they draw the same masks in any case."""
    ranks = next(line for line in lines if line.name == "ranks")
    if isinstance(runs.ranks, Failure) or isinstance(runs.ranks_alike, Failure) or ranks.verdict is AuditVerdict.FAULT:
        return []
    compared = comparisons.of_ranks(runs.ranks[0], runs.ranks_alike, runs.pairs)
    if verdict_of(compared.num_alike, compared.num_judged) is not AuditVerdict.FAULT:
        return []
    text = (
        f"If all ranks start with the same seed, as transformers' Trainer does, {compared.num_alike:,} of "
        f"{count(compared.num_judged, *_PAIRS)} get nearly the same mask on two ranks: the masks come from the "
        "global random state. Seed it per rank, or load with workers, which the Trainer seeds per rank."
    )
    return [AuditLine("ranks_seeded_alike", "Ranks with the same seed", AuditVerdict.INFORMATION, text)]


def _pickle_line(runs: Runs) -> list[AuditLine]:
    if not runs.pickle_error:
        return []
    text = (
        f"The collator cannot be pickled ({runs.pickle_error}), so loader workers fail where processes are spawned: on "
        "Windows and macOS, and with Python 3.14 on Linux."
    )
    return [AuditLine("pickle", "Workers on other systems", AuditVerdict.INFORMATION, text)]


def _two_epochs(masks: Masks, row: int | None, examples: Examples) -> tuple[ShownExample, ...]:
    if row is None:
        return ()
    masked_E = masks.masked_EN[:, examples.facts.tokens_of(row)].sum(axis=1)
    fullest = sorted(masked_E.argsort(kind="stable")[-2:].tolist())
    return tuple(examples.of_mask(masks.masked_EN[epoch], epoch, row) for epoch in fullest)


def _pair(
    first: Masks, second: Masks, place: int | None, num_pairs: int, examples: Examples, notes: tuple[str, str]
) -> tuple[ShownExample, ...]:
    if place is None:
        return ()
    epoch = int(first.masked_EN[:, examples.facts.tokens_of(place)].sum(axis=1).argmax())
    return (
        examples.of_mask(first.masked_EN[epoch], epoch, place, f"epoch {epoch}, {notes[0]}"),
        examples.of_mask(second.masked_EN[epoch], epoch, place + num_pairs, f"epoch {epoch}, {notes[1]}"),
    )
