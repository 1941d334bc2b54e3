"""The command that audits a collator: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_on_purpose
from maskwise.progress import hide_library_bars

CollatorName = Annotated[
    str,
    Option(
        metavar="MODULE:NAME",
        help="package.module:function or file.py:function: the collator, or what makes it of a tokenizer.",
    ),
]
Columns = Annotated[
    list[str] | None, Option(metavar="COLUMN", help="What else rows have: word_ids, offset_mapping, example_id.")
]
Corruption = Annotated[
    str | None, Option(metavar="M,R,K", help="Shares of [MASK], random and kept tokens, e.g. 0.8,0.1,0.1.")
]


def check_command(
    collator: CollatorName,
    tokenizer: Annotated[str, Option(help="The tokenizer's folder, hub:NAME, or a WordPiece vocab.txt.")],
    data: Annotated[str, Option(metavar="SOURCE", help="A text, as `prepare` takes it, or a data folder.")],
    rate: Annotated[float | None, Option(help="The share of tokens to mask. [default: the collator's own]")] = None,
    corruption: Corruption = None,
    by_score: Annotated[
        bool, Option("--by-score", help="Tokens are meant to be masked unequally, by a score.")
    ] = False,
    columns: Columns = None,
    rows: Annotated[int, Option(min=2, help="Rows to audit.")] = 512,
    length: Annotated[int, Option(min=8, help="Tokens per row, special ones included.")] = 128,
    batch_size: Annotated[int, Option(min=2, help="Rows per batch.")] = 16,
    workers: Annotated[int, Option(min=0, help="Loader workers of the run with workers; 0: no such run.")] = 2,
    seconds: Annotated[float, Option(min=0, help="For further epochs, if something is not decided.")] = 60.0,
    seed: Annotated[int, Option(help="The seed of all random states.")] = 0,
    json_: Annotated[Path | None, Option("--json", metavar="FILE", help="Write the audit as JSON.")] = None,
    html: Annotated[Path | None, Option(metavar="FILE", help="Write a page to look at.")] = None,
) -> None:
    """Audit anybody's masking: what a collator masks, what it labels, and what it repeats. Exit code 1: a fault."""
    shares = None if corruption is None else _read_shares(corruption)
    hide_library_bars()
    from maskwise.evaluation.audit import check
    from maskwise.files.atomic import atomic_write
    from maskwise.lab.evaluation.audit_page import write_audit_page
    from maskwise.lab.evaluation.audit_rows import audit_rows
    from maskwise.lab.evaluation.named_collator import load_collator
    from maskwise.lab.records.strict_json import to_json
    from maskwise.lab.tokens.tokenizer import load_tokenizer

    for path in (json_, html):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path} cannot be written: there is no folder {path.parent}.")
    loaded = load_tokenizer(checkpoint_on_purpose(tokenizer))
    made = load_collator(collator, loaded)
    given = audit_rows(data, loaded, num_rows=rows, length=length, columns=columns or [])
    audit = check(
        made, given, loaded, rate=rate, corruption=shares, uniform=False if by_score else None, batch_size=batch_size,
        workers=workers, max_rows=rows, seconds=seconds, seed=seed,
    )  # fmt: skip
    print(audit)
    if json_ is not None:
        atomic_write(json_, to_json(audit.as_dict()))
    if html is not None:
        write_audit_page(audit, html, {"Collator": collator, "Tokenizer": tokenizer, "Data": data})
    if audit.faults:
        raise typer.Exit(1)


def _read_shares(text: str) -> tuple[float, float, float]:
    try:
        masked, random, kept = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--corruption is three shares, e.g. 0.8,0.1,0.1; found {text!r}.") from None
    return masked, random, kept
