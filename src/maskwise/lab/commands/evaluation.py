"""The commands that evaluate checkpoints as they are: evaluate, babylm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_on_purpose
from maskwise.progress import hide_library_bars

_Checkpoints = Annotated[list[str], Argument(metavar="CKPT...", help="Run folders, checkpoints, or hub:NAME.")]
_HeldOutData = Annotated[
    Path | None, Option(metavar="DIR", help="A data folder: loss, top-1 and top-5 on its held-out part.")
]
_WordSources = Annotated[
    list[str] | None, Option(metavar="SOURCE", help="Whole words of this text, in nats per character; any tokenizers.")
]
_TeacherForQuintiles = Annotated[
    str | None, Option(metavar="CKPT", help="Grade by fifths of this teacher's entropy, not of token frequency.")
]
_PairFolders = Annotated[
    list[str] | None,
    Option(metavar="DIR", help="Minimal pairs or completions (BLiMP, Zorro, BabyLM, your own); may be given again."),
]
_ReadingTimes = Annotated[Path | None, Option(metavar="FILE", help="BabyLM's reading_data.csv.")]
_WordForms = Annotated[
    Path | None, Option(metavar="FILE", help="A set of word formation, such as wug_past_tense.jsonl.")
]
_Sources = Annotated[
    list[str] | None, Option(metavar="SOURCE", help="Text for the pseudo-perplexity per word; may be given again.")
]
_CountsFolder = Annotated[
    Path | None,
    Option(metavar="DIR", help="The data folder the model was trained on, for the unigram floor. [default: the run's]"),
]
_OutFolder = Annotated[
    Path | None, Option(metavar="DIR", help="Keep results and predictions here, in a folder per checkpoint.")
]

_DEFAULT_BLOCKS = 1024


def evaluate_command(
    checkpoints: _Checkpoints,
    data: _HeldOutData = None,
    words: _WordSources = None,
    pairs: _PairFolders = None,
    reading: _ReadingTimes = None,
    word_formation: _WordForms = None,
    perplexity: _Sources = None,
    blocks: Annotated[
        int, Option(min=1, help="How many held-out blocks (--data) or windows of text (--words) are taken.")
    ] = _DEFAULT_BLOCKS,
    by_entropy_of: _TeacherForQuintiles = None,
    metric: Annotated[str, Option(help="Of pseudo-log-likelihoods: within-word or original.")] = "within-word",
    ties: Annotated[
        str, Option(help="A tie counts half, or goes to the first option, the right one: half, first.")
    ] = "half",
    good_column: Annotated[str | None, Option(help="The column of the good sentence, for pairs of your own.")] = None,
    bad_column: Annotated[str | None, Option(help="The column of the bad sentence.")] = None,
    counts: _CountsFolder = None,
    paradigms: Annotated[bool, Option("--paradigms", help="Show the accuracy of each paradigm too.")] = False,
    out: _OutFolder = None,
    json_: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Evaluate checkpoints: on held-out text, minimal pairs, reading times, word formation, or by perplexity."""
    zero_shot = {"pairs": pairs, "reading": reading, "word_formation": word_formation, "perplexity": perplexity}
    asked = {name: value for name, value in zero_shot.items() if value}
    if (data is not None) + bool(words) + bool(asked) != 1:
        raise InputError(
            "Say what to evaluate on: --data DIR (one tokenizer), or --words SOURCE (any tokenizers); or any of "
            "--pairs, --reading, --word-formation and --perplexity."
        )
    given = {
        "--metric": metric != "within-word", "--ties": ties != "half", "--good-column": good_column is not None,
        "--bad-column": bad_column is not None, "--counts": counts is not None, "--paradigms": paradigms,
    }  # fmt: skip
    _refuse_unused("of what is evaluated without --data or --words", given if not asked else {})
    _refuse_unused("of --data and --words", {"--blocks": blocks != _DEFAULT_BLOCKS} if asked else {})
    _refuse_unused("of --data", {"--by-entropy-of": by_entropy_of is not None} if data is None else {})
    for name in (*checkpoints, *([by_entropy_of] if by_entropy_of else [])):
        checkpoint_on_purpose(name)
    hide_library_bars()
    if not asked:
        print(_held_out(checkpoints, data, words or [], blocks, by_entropy_of, out, json_))
        return
    if (good_column is None) != (bad_column is None):
        raise InputError("--good-column and --bad-column go together.")
    from maskwise.evaluation.choices import check_ties
    from maskwise.evaluation.pseudo_likelihood import check_metric
    from maskwise.lab.evaluation.several import evaluate_several

    columns = (good_column, bad_column) if good_column and bad_column else None
    found = evaluate_several(
        checkpoints,
        **asked,
        metric=check_metric(metric),
        ties=check_ties(ties),
        columns=columns,
        token_counts=counts,
        out=out,
    )
    print(found.as_json() if json_ else found.table(paradigms=paradigms))


def _refuse_unused(whose: str, given: Mapping[str, bool]) -> None:
    """Raises InputError for an option that would have no effect."""
    for name, is_given in given.items():
        if is_given:
            raise InputError(f"{name} is an option {whose}, and would have no effect here. Leave it out.")


def _held_out(
    checkpoints: list[str],
    data: Path | None,
    words: list[str],
    blocks: int,
    by_entropy_of: str | None,
    out: Path | None,
    json_: bool,
) -> str:
    from maskwise.lab.evaluation.side_by_side import evaluate, evaluate_words

    report: Any
    if data is not None:
        report = evaluate(checkpoints, data, blocks=blocks, by_entropy_of=by_entropy_of, out=out)
    else:
        report = evaluate_words(checkpoints, words, windows=blocks, out=out)
    return report.as_json() if json_ else report.table()


def babylm_command(
    model: Annotated[str, Argument(metavar="RUN", help="A run folder with revisions chck_1M ..., or a checkpoint.")],
    data: Annotated[Path, Option(metavar="DIR", help="BabyLM's evaluation data, or a folder with some of it.")],
    out: Annotated[Path, Option(metavar="DIR", help="The pipeline's folder of results.")] = Path("results"),
    name: Annotated[str | None, Option(help="The model's name there. [default: that of its folder]")] = None,
    tuned: Annotated[
        Path | None, Option(metavar="DIR", help="What finetune left: its predictions are written too.")
    ] = None,
    counts: _CountsFolder = None,
    json_: Annotated[bool, Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score a model and its revisions on BabyLM's data, in the folder tree of its evaluation pipeline."""
    hide_library_bars()
    from maskwise.lab.evaluation.babylm import evaluate_babylm

    report = evaluate_babylm(checkpoint_on_purpose(model), data, out, name=name, tuned=tuned, token_counts=counts)
    print(report.as_json() if json_ else report.table())
