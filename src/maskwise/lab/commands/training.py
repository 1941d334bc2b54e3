"""The commands that train by masking and show what a model would mask: pretrain, annotate, preview, recipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from maskwise.files.checkpoint_names import checkpoint_on_purpose
from maskwise.progress import hide_library_bars

_Assignments = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. trainer.learning_rate=1e-4.")
]
_GeneralData = Annotated[
    Path | None,
    Option(metavar="DIR", help="Follow this folder's evaluation too; stop when adaptation costs too much of it."),
]
_Folds = Annotated[int | None, Option(help="Score each token masked, in this many passes. [default: unmasked]")]
_PageFile = Annotated[Path | None, Option(metavar="FILE", help="Write a page to look at, in place of the terminal.")]


def pretrain_command(
    out: Annotated[Path, Option(help="The run folder to make, or to resume.")],
    data: Annotated[Path | None, Option(help="A data folder made by `maskwise prepare`.")] = None,
    general_data: _GeneralData = None,
    model: Annotated[str | None, Option(help="tiny, mini, bertlet, bert, or a config.json: from scratch.")] = None,
    from_: Annotated[
        str | None, Option("--from", metavar="CKPT", help="A folder or hub:NAME to continue from instead.")
    ] = None,
    recipe: Annotated[str | None, Option(help="What to mask; `maskwise recipes` lists them. [default: random]")] = None,
    teacher: Annotated[str | None, Option(metavar="CKPT", help="Whose entropy decides, or who is distilled.")] = None,
    epochs: Annotated[float | None, Option(help="Passes over the data.")] = None,
    steps: Annotated[int | None, Option(min=1, help="Optimizer steps, instead of --epochs.")] = None,
    seed: Annotated[int | None, Option(help="Initial weights, order of the data, masks.")] = None,
    config: Annotated[Path | None, Option(help="A TOML file of settings.")] = None,
    set_: _Assignments = None,
    resume: Annotated[bool, Option("--resume", help="Resume from the newest complete checkpoint in --out.")] = False,
) -> None:
    """Train a masked language model."""
    from maskwise.lab.config import parse_assignments
    from maskwise.lab.precedence import check_named_on_purpose

    changes = parse_assignments(set_ or [])
    check_named_on_purpose(changes)
    check_named_on_purpose({"model": {"checkpoint": from_}, "teacher": teacher})
    hide_library_bars()
    from maskwise.lab.pretraining.pretrain import pretrain

    result = pretrain(
        config, out, data=data, general_data=general_data, model=model, checkpoint=from_, recipe=recipe,
        teacher=teacher, epochs=epochs, steps=steps, seed=seed, changes=changes, resume=resume,
    )  # fmt: skip
    if os.environ.get("RANK", "0") == "0":
        print(result.table())
        if result.stopping:
            print(result.stopping)
        print(f"The model is in {out}.")


def annotate_command(
    data: Annotated[Path, Option(help="A data folder made by `maskwise prepare`.")],
    teacher: Annotated[str, Option(metavar="CKPT", help="The frozen model that scores; it shares the tokenizer.")],
    score: Annotated[str, Option(help="entropy or surprisal.")] = "entropy",
    batch_size: Annotated[int, Option(help="Blocks scored at a time.")] = 32,
    jobs: Annotated[int, Option(help="Processes; the processor's threads are split among them.")] = 1,
) -> None:
    """Store a teacher's score of every training token next to the tokens, once; a stopped one resumes."""
    hide_library_bars()
    from maskwise.lab.pretraining.annotate import annotate

    folder = annotate(data, checkpoint_on_purpose(teacher), statistic=score, batch_size=batch_size, jobs=jobs)
    print(f"The scores are in {folder}. To train from them: --teacher {teacher} --set masking.stored=true")


def preview_command(
    text: Annotated[str, Argument(metavar="TEXT", help="The text, or - to read it from stdin.")],
    model: Annotated[str, Option(metavar="CKPT", help="The masked language model that scores it.")],
    recipe: Annotated[
        str | None, Option(metavar="NAME", help="A recipe to show too: its name, or a .toml file.")
    ] = None,
    score: Annotated[str | None, Option(metavar="MODULE:NAME", help="Your own score to show too.")] = None,
    rate: Annotated[float | None, Option(help="The share of tokens to mask. [default: the recipe's, or 0.15]")] = None,
    folds: _Folds = None,
    window: Annotated[int | None, Option(help="Tokens scored together, special ones included. [default: 128]")] = None,
    html: _PageFile = None,
) -> None:
    """Show each token's entropy, and what each strategy would mask."""
    hide_library_bars()
    from maskwise.lab.previews.example import preview, text_or_stdin
    from maskwise.lab.previews.page import write_page
    from maskwise.lab.previews.terminal import print_preview

    model = checkpoint_on_purpose(model)
    shown = preview(text_or_stdin(text), model, recipe=recipe, score=score, rate=rate, folds=folds, window=window)
    if html:
        write_page(shown, html)
        print(f"The page is in {html}.")
    else:
        print_preview(shown)


def recipes_command(
    name: Annotated[str | None, Argument(help="Show this recipe's settings: a name, or your own .toml file.")] = None,
) -> None:
    """List the recipes, or show one."""
    import tomli_w

    from maskwise.recipes import load_recipe, recipe_names

    if name:
        print(tomli_w.dumps(load_recipe(name)), end="")
        return
    width = max(map(len, recipe_names()))
    for known in recipe_names():
        print(f"{known.ljust(width)}  {load_recipe(known)['description']}")
