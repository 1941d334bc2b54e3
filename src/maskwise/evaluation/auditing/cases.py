"""Zero tolerance: what must never happen, not once, and how much has to be seen before it can be called fine.

Shapes: B rows of a batch, T columns, N tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from maskwise.evaluation.auditing.epochs import CollatedBatch, Epoch
from maskwise.evaluation.auditing.examples import Examples
from maskwise.evaluation.auditing.intervals import enough
from maskwise.evaluation.auditing.lines import AuditLine, ShownExample
from maskwise.evaluation.auditing.measures import AuditVerdict, count
from maskwise.evaluation.auditing.rows import Row, RowFacts, is_same_row

TOKEN_RATE = 1 / 1000
ROW_RATE = 0.05


@dataclass(frozen=True)
class Rule:
    """What must not happen. `rate`: how seldom it may happen and still be met, with 99.9% probability.

    `nouns`: what it may happen to, one and many; `fault`: ends the sentence "3 of 200 labels are ...".
    """

    name: str
    title: str
    nouns: tuple[str, str]
    fault: str
    rate: float
    is_optional: bool = False


RULES = (
    Rule("special_tokens", "Special tokens are left alone", ("special token", "special tokens"), "masked or labelled",
         TOKEN_RATE),
    Rule("padding", "Padding is left alone", ("padding position", "padding positions"), "masked or labelled",
         TOKEN_RATE),
    Rule("labels", "Labels are the original tokens", ("label", "labels"), "not the token that stood there",
         TOKEN_RATE),
    Rule("replacements", "Replacements are ordinary tokens", ("labelled token", "labelled tokens"),
         "replaced by a token that is special or out of range", TOKEN_RATE),
    Rule("unlabelled_input", "Tokens without a label are unchanged",
         ("token without a label", "tokens without a label"), "changed", TOKEN_RATE),
    Rule("attention_mask", "The attention mask is kept", ("row with padding", "rows with padding"),
         "without the right attention mask", ROW_RATE, is_optional=True),
    Rule("token_types", "Token types are kept", ("row with token types", "rows with token types"),
         "without the right ones", ROW_RATE, is_optional=True),
    Rule("rows", "Rows are kept, whole and in order", ("row", "rows"), "lost, cut or moved", ROW_RATE),
    Rule("callers_rows", "The caller's rows are not changed", ("row", "rows"), "changed in place", ROW_RATE),
)  # fmt: skip


@dataclass
class Case:
    """How often one thing could have happened, and did."""

    at_risk: int = 0
    found: int = 0
    example: ShownExample | None = None

    def add(self, at_risk: int, found: int, example: Callable[[], ShownExample]) -> None:
        """Counts; the first fault's example is kept, and until then one of what was at risk."""
        if (found and not self.found) or (at_risk and self.example is None):
            self.example = example()
        self.at_risk += at_risk
        self.found += found


@dataclass
class Cases:
    """The counts of every rule over all epochs; `num_replaced` are the labelled tokens given a random token."""

    facts: RowFacts
    examples: Examples
    by_name: dict[str, Case] = field(default_factory=lambda: {rule.name: Case() for rule in RULES})
    num_replaced: int = 0
    attention_is_odd: bool = False

    def add_batch(self, batch: CollatedBatch, rows: Sequence[Row], number: int) -> None:
        """Counts what can be seen in a batch only: padding, masks, types, lost rows, and the caller's rows."""
        self._add_places("padding", batch, number, *self._padding(batch))
        self._add_places("attention_mask", batch, number, *self._attention(batch))
        self._add_places("token_types", batch, number, *self._types(batch))
        bad = sorted({*batch.aligned.moved, *batch.aligned.lost})
        self._add_rows("rows", batch, number, bad, "moved" if batch.aligned.moved else "lost or cut")
        pairs = zip(batch.rows, batch.given, strict=True)
        self._add_rows(
            "callers_rows", batch, number, [row for row, given in pairs if not is_same_row(rows[row], given)]
        )

    def add_epoch(self, epoch: Epoch, number: int) -> None:
        """Counts what can be seen in every token."""
        facts, labelled_N, changed_N = self.facts, epoch.labelled_N, epoch.input_N != self.facts.ids_N
        text_N = epoch.seen_N & ~facts.is_special_N & ~facts.is_padding_N
        special_N = epoch.seen_N & facts.is_special_N
        replaced_N = text_N & labelled_N & changed_N & (epoch.input_N != facts.kinds.mask_token_id)
        self.num_replaced += int(replaced_N.sum())
        for name, at_risk_N, bad_N in (
            ("special_tokens", special_N, labelled_N | changed_N),
            ("labels", text_N & labelled_N, epoch.label_N != facts.ids_N),
            ("replacements", text_N & labelled_N, replaced_N & facts.kinds.is_special(epoch.input_N)),
            ("unlabelled_input", text_N & ~labelled_N, changed_N),
        ):
            self._add_tokens(name, epoch, number, at_risk_N, at_risk_N & bad_N)

    def lines(self) -> list[AuditLine]:
        """Returns a line per rule; those of which nothing was at risk are left out if they are optional."""
        lines = [self._line(rule, self.by_name[rule.name]) for rule in RULES]
        return [line for line in lines if line is not None]

    def _line(self, rule: Rule, case: Case) -> AuditLine | None:
        if rule.is_optional and not case.at_risk:
            return None
        needed, seen, nouns = enough(rule.rate), case.at_risk, rule.nouns
        if rule.name == "replacements":
            needed, seen, nouns = self._replacements_needed(needed, seen)
        counts = {"found": case.found, "at_risk": case.at_risk, "needed": needed}
        if rule.name == "replacements":
            counts["random_replacements"] = self.num_replaced
        found = f"{case.found:,}" if case.found else "None"
        text = f"{found} of {count(case.at_risk, *rule.nouns)} {_verb(case.found or case.at_risk)} {rule.fault}"
        if rule.name == "replacements" and self.num_replaced:
            text += f" ({count(self.num_replaced, 'random replacement')})"
        wanted = f"{count(needed, *nouns)} are needed to meet one case in {round(1 / self._rate(rule)):,}"
        verdict = (
            AuditVerdict.FAULT if case.found else AuditVerdict.FINE if seen >= needed else AuditVerdict.NOT_DECIDED
        )
        if verdict is AuditVerdict.NOT_DECIDED:
            text = f"{text}; {wanted}" if seen else f"No {nouns[0]} was seen; {wanted}"
        return AuditLine(
            rule.name,
            rule.title,
            verdict,
            f"{text}.",
            counts,
            examples=() if case.example is None else (case.example,),
            needs_more=verdict is AuditVerdict.NOT_DECIDED and seen > 0,
        )

    def _rate(self, rule: Rule) -> float:
        return self._special_share() if rule.name == "replacements" and self.num_replaced else rule.rate

    def _special_share(self) -> float:
        """How often a draw from the whole vocabulary is a special token: the commonest fault, and a rare one."""
        return min(TOKEN_RATE, float(self.facts.kinds.is_special_V.mean()))

    def _replacements_needed(self, needed: int, labelled: int) -> tuple[int, int, tuple[str, str]]:
        if not self.num_replaced:
            return needed, labelled, ("labelled token", "labelled tokens")
        return enough(self._special_share()), self.num_replaced, ("random replacement", "random replacements")

    def _padding(self, batch: CollatedBatch) -> tuple[np.ndarray, np.ndarray]:
        padding_BT = self._is_padding(batch)
        masked_BT = batch.collated.input_ids_BT == self.facts.kinds.mask_token_id
        return padding_BT, padding_BT & ((batch.collated.labels_BT != -100) | masked_BT)

    def _attention(self, batch: CollatedBatch) -> tuple[np.ndarray, np.ndarray]:
        """At risk are rows with padding; in all rows the mask must be 1 at tokens and 0 at padding."""
        padding_BT, attention_BT = self._is_padding(batch), batch.collated.attention_BT
        self.attention_is_odd |= batch.collated.is_odd
        if batch.aligned.is_flat or batch.collated.is_odd:
            return np.zeros_like(padding_BT), np.zeros_like(padding_BT)
        wrong_BT = padding_BT if attention_BT is None else (attention_BT == 0) != padding_BT
        wrong_BT = wrong_BT & (batch.aligned.token_BT >= 0).any(axis=1, keepdims=True)
        at_risk_BT = _first_of_each_row(padding_BT | wrong_BT)
        return at_risk_BT, _first_of_each_row(wrong_BT)

    def _types(self, batch: CollatedBatch) -> tuple[np.ndarray, np.ndarray]:
        token_BT, types_BT = batch.aligned.token_BT, batch.collated.types_BT
        own_BT = np.where(token_BT >= 0, self.facts.types_N[token_BT], 0)
        given_BT = np.zeros_like(own_BT) if types_BT is None else np.where(token_BT >= 0, types_BT, 0)
        wrong_BT = (given_BT != own_BT) & (own_BT != 0).any(axis=1, keepdims=True)
        return _first_of_each_row((own_BT != 0) | wrong_BT), _first_of_each_row(wrong_BT)

    def _is_padding(self, batch: CollatedBatch) -> np.ndarray:
        """True at padding, but for output rows that are none of the batch's."""
        token_BT = batch.aligned.token_BT
        is_padding_BT = (token_BT < 0) | self.facts.is_padding_N[token_BT]
        return is_padding_BT & (token_BT >= 0).any(axis=1, keepdims=True)

    def _add_places(
        self, name: str, batch: CollatedBatch, number: int, at_risk_BT: np.ndarray, bad_BT: np.ndarray
    ) -> None:
        places = np.argwhere(bad_BT if bad_BT.any() else at_risk_BT)
        if len(places):
            row, column = (int(place) for place in places[0])
            self.by_name[name].add(
                int(at_risk_BT.sum()),
                int(bad_BT.sum()),
                lambda: self.examples.at_column(batch, number, row, column),
            )

    def _add_rows(self, name: str, batch: CollatedBatch, number: int, bad: Sequence[int], note: str = "") -> None:
        row = bad[0] if bad else batch.rows[0]
        place = min(list(batch.rows).index(row), len(batch.collated.input_ids_BT) - 1)
        why = f"epoch {number}: row {row} {note}" if bad and note else ""
        self.by_name[name].add(len(batch.rows), len(bad), lambda: self.examples.at_column(batch, number, place, 0, why))

    def _add_tokens(self, name: str, epoch: Epoch, number: int, at_risk_N: np.ndarray, bad_N: np.ndarray) -> None:
        places = np.flatnonzero(bad_N if bad_N.any() else at_risk_N)
        if len(places):
            self.by_name[name].add(
                int(at_risk_N.sum()),
                int(bad_N.sum()),
                lambda: self.examples.at_token(epoch, number, int(places[0])),
            )


def _first_of_each_row(true_BT: np.ndarray) -> np.ndarray:
    """True at the first true column of each row."""
    return true_BT & (true_BT.cumsum(axis=1) == 1)


def _verb(number: int) -> str:
    return "is" if number == 1 else "are"
