"""The verb that turns text into token blocks: prepare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from typer import Argument, Option

from maskwise.files.checkpoint_names import checkpoint_on_purpose

_Sources = Annotated[
    list[str], Argument(metavar="SOURCE...", help="Files, folders, globs, hub:NAME[:CONFIG], python-docs.")
]
_BlockMode = Annotated[str, Option(help="concat: full blocks over document borders; document: never over them.")]

_LabelColumn = Annotated[
    str | None, Option(metavar="NAME", help="Keep this column as the class of each text, for --mode document.")
]


def prepare_command(
    sources: _Sources,
    out: Annotated[Path, Option(help="The data folder to make.")],
    tokenizer: Annotated[str | None, Option(help="A tokenizer's folder, hub:NAME, or a WordPiece vocab.txt.")] = None,
    train_tokenizer: Annotated[int | None, Option(help="Train a tokenizer with this many tokens instead.")] = None,
    tokenizer_kind: Annotated[str, Option(help="wordpiece or byte-bpe, for --train-tokenizer.")] = "wordpiece",
    cased: Annotated[
        bool, Option("--cased", help="Keep capitals and accents in the trained wordpieces. [default: lower-case]")
    ] = False,
    extend_tokenizer: Annotated[
        str | None,
        Option(metavar="BASE", help="Add whole words of the text to this tokenizer (or checkpoint's) instead."),
    ] = None,
    new_words: Annotated[int | None, Option(metavar="N", help="How many, for --extend-tokenizer.")] = None,
    block: Annotated[int, Option(help="Tokens a block, special tokens included.")] = 128,
    mode: _BlockMode = "concat",
    label_column: _LabelColumn = None,
    valid: Annotated[list[str] | None, Option(help="A source to hold out (repeatable), instead of a share.")] = None,
    valid_share: Annotated[float, Option(help="The share of documents to hold out.")] = 0.05,
    min_words: Annotated[int, Option(help="Shorter documents are dropped and counted.")] = 5,
    keep_duplicates: Annotated[bool, Option("--keep-duplicates", help="Keep exact duplicates of documents.")] = False,
    seed: Annotated[int, Option(help="Decides which documents are held out.")] = 0,
    workers: Annotated[int | None, Option(help="Processes; the result does not depend on it.")] = None,
) -> None:
    """Turn text into token blocks on disk."""
    from maskwise.lab.tokens.describe import describe
    from maskwise.lab.tokens.prepare import PrepareSettings, prepare

    for name in (tokenizer, extend_tokenizer):
        if name is not None:
            checkpoint_on_purpose(name)
    kind, block_mode = cast(Any, tokenizer_kind), cast(Any, mode)  # PrepareSettings checks the names
    settings = PrepareSettings(
        sources=tuple(sources), out=out, tokenizer=tokenizer, train_tokenizer=train_tokenizer,
        tokenizer_kind=kind, cased=cased, extend_tokenizer=extend_tokenizer, new_words=new_words,
        block=block, mode=block_mode, label_column=label_column, valid=tuple(valid) if valid else None,
        valid_share=valid_share, min_words=min_words, keep_duplicates=keep_duplicates, seed=seed, workers=workers,
    )  # fmt: skip
    print(describe(prepare(settings)))
