"""Tables 1 and 2 of the entropy masking paper, cell by cell, with what can be computed from them.

Source: Srinivasagan, Hartung and Munir 2026, "Entropy-aware Masking for Masked Language Modeling", arXiv:2605.28526v1.
Cells are percentages as printed. Metrics: MRPC is F1, the others accuracy, MNLI on the mismatched set; none is named in
the paper, but the cells of collapsed models are the constant classifier's to the last digit under these and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PRINTED_TASKS = ("cola", "mrpc", "qnli", "qqp", "rte", "sst2", "mnli")
CONSTANT = {"cola": 69.13, "mrpc": 81.22, "qnli": 50.54, "qqp": 63.18, "rte": 52.71, "sst2": 50.92, "mnli": 35.22}
PRINTED_METRICS = dict.fromkeys(PRINTED_TASKS, "accuracy") | {"mrpc": "f1", "mnli": "accuracy_mismatched"}
OTHER_CONSTANT = {"qnli": 49.46}  # the class that is not the larger one
_ROUNDING = 0.011  # a mean of seven cells rounded to hundredths is off by 0.005 at most, and rounded again by as much
VALIDATION_SIZE = {"cola": 1043, "rte": 277, "sst2": 872, "qnli": 5463}

Mark = Literal["", "at", "other", "below"]


@dataclass(frozen=True)
class PublishedRow:
    """One row: the model, the arm as the paper subscripts it, the recipe here that is the same, and its cells."""

    table: int
    backbone: Literal["bert", "bertlet"]
    arm: str
    recipe: str
    cells: dict[str, float]
    printed_total: float

    @property
    def total(self) -> float:
        """The mean of the seven cells, which is what the paper says Total is."""
        return sum(self.cells.values()) / len(self.cells)

    @property
    def total_agrees(self) -> bool:
        """Whether the printed Total is that mean, up to rounding."""
        return abs(self.printed_total - self.total) <= _ROUNDING

    def mean_of(self, *tasks: str) -> float:
        """Returns the mean of some tasks' cells."""
        return sum(self.cells[task] for task in tasks) / len(tasks)

    def mark(self, task: str) -> Mark:
        """Returns how a cell stands to a model that reads nothing.

        "at": exactly the constant classifier's; "other": that of the other class; "below": less than it; "" else.
        """
        cell = self.cells[task]
        if cell == CONSTANT[task]:
            return "at"
        if cell == OTHER_CONSTANT.get(task):
            return "other"
        return "below" if cell < CONSTANT[task] else ""


def _rows(table: int, text: str) -> tuple[PublishedRow, ...]:
    rows = []
    for line in text.strip().splitlines():
        backbone, arm, recipe, *numbers = line.split()
        *cells, total = map(float, numbers)
        rows.append(PublishedRow(table, backbone, arm, recipe, dict(zip(PRINTED_TASKS, cells, strict=True)), total))  # type: ignore[arg-type]
    return tuple(rows)


TABLE_1 = _rows(
    1,
    """
    bert     baseline  paper-baseline       69.42  81.80  74.98  83.75  52.35  82.34  68.25  73.27
    bertlet  baseline  paper-baseline       69.32  81.79  65.20  82.24  53.07  79.36  65.51  70.93
    bert     max       entropy-high         67.98  78.05  80.72  86.15  52.71  85.78  73.76  75.02
    bertlet  max       entropy-high         68.74  81.01  76.04  84.67  56.32  81.54  70.19  74.07
    bert     min       entropy-low          69.42  81.03  79.68  85.01  54.51  81.31  72.65  74.80
    bertlet  min       entropy-low          69.03  79.68  65.62  82.60  51.62  80.62  69.91  71.30
    bert     marg      entropy-marginal     69.51  79.53  82.13  86.38  54.51  83.14  72.58  75.40
    bertlet  marg      entropy-marginal     69.03  79.94  66.14  82.42  54.51  80.39  69.93  64.17
    bert     alt       entropy-alternating  68.74  81.07  82.92  86.71  53.07  86.58  73.99  76.15
    bertlet  alt       entropy-alternating  68.84  81.37  65.95  82.20  53.43  80.96  70.26  62.79
    bert     mid       entropy-mid          69.13  81.22  50.54  63.18  52.71  50.92  35.22  57.56
    bertlet  mid       entropy-mid          69.13  81.22  60.66  80.74  52.71  79.82  59.85  62.23
    """,
)
TABLE_2 = _rows(
    2,
    """
    bert     max,cold  entropy-self-cold    69.13  81.22  49.46  63.18  52.71  50.92  35.22  57.41
    bertlet  max,cold  entropy-self-cold    69.13  80.30  60.77  81.02  54.51  77.87  62.00  61.37
    bert     max,init  entropy-self         69.42  81.22  84.81  89.04  52.35  86.81  71.62  76.47
    bertlet  max,init  entropy-self         68.84  80.39  78.82  85.80  55.96  83.72  72.54  75.15
    """,
)
ROWS = TABLE_1 + TABLE_2


def find_row(backbone: str, arm_or_recipe: str) -> PublishedRow | None:
    """Returns the row of a backbone and an arm, by the paper's name of the arm or the recipe's here; None without one.

    >>> row = find_row("bertlet", "entropy-marginal")
    >>> row.printed_total, round(row.total, 2), row.total_agrees
    (64.17, 71.77, False)
    """
    found = (row for row in ROWS if row.backbone == backbone and arm_or_recipe in (row.arm, row.recipe))
    return next(found, None)


def is_single_run(cell: float, task: str) -> bool | None:
    """Returns whether a printed accuracy can be one run's, a whole number of examples, and not a mean of two that is.

    None if the printed digits cannot tell: where both a whole and a half number of examples round to them.

    >>> is_single_run(69.32, "cola"), is_single_run(50.0, "cola")
    (True, False)
    """
    size = VALIDATION_SIZE[task]

    def fits(halves: int) -> bool:
        return abs(50 * halves / size - cell) <= 0.005 + 1e-9

    near = range(int(cell * size / 50) - 1, int(cell * size / 50) + 3)
    whole, half = (any(fits(n) for n in near if n % 2 == odd) for odd in (0, 1))
    return None if whole and half else whole
