"""The plain forms of a table lose no precision and break on no content."""

import csv
import io
import json
import math

import pytest

from maskwise.lab.reports.tables import Column, Table, shown

TABLE = Table(
    "scores",
    "Scores",
    (Column("arm"), Column("value", "score", "number"), Column("p", kind="p")),
    (
        {"arm": "high", "value": 0.12345678901234567, "p": 1e-9},
        {"arm": 'a|b "c", d', "value": math.nan, "p": None},
        {"arm": "cold", "value": math.inf},
    ),
)


def test_csv_keeps_every_digit_and_any_text():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert [row["arm"] for row in rows] == ["high", 'a|b "c", d', "cold"]
    assert float(rows[0]["value"]) == TABLE.rows[0]["value"]
    assert rows[1] == {"arm": 'a|b "c", d', "value": "", "p": ""}


def test_json_can_say_every_row():
    said = json.loads(json.dumps(TABLE.plain_rows(), allow_nan=False))
    assert [row["value"] for row in said] == [0.12345678901234567, None, None]


def test_markdown_has_as_many_cells_in_every_line():
    lines = TABLE.markdown().splitlines()
    assert len(lines) == 5
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.5, "number", "0.5000"), (8892.92, "number", "8,892.9"), (-0.01, "difference", "-0.0100"),
        (0.0625, "p", "0.0625"),
        (1e-30, "p", "<0.0001"), (1.5e12, "flops", "1.50e+12"), (2_400_000.0, "count", "2,400,000"),
        (75.0, "seconds", "1m15s"),
        (7e8, "bytes", "700 MB"), (2.5e9, "bytes", "2.50 GB"), (math.inf, "number", "∞"), (math.nan, "p", "-"),
        (1.6, "times", "1.60x"), (0.1, "exact", "0.1"), (True, "text", "True"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value, kind, text):
    assert shown(value, kind) == text
