"""The command line: the table of its verbs, and what a mistake of the user's looks like.

A verb (`verbs/`) reads settings, imports one job, and calls it; heavy imports are inside it, so that `--help` answers
at once.
"""

from __future__ import annotations

import os
import sys

import typer

from maskwise.errors import InputError
from maskwise.lab.commands.data import prepare
from maskwise.lab.commands.story import demo
from maskwise.lab.commands.study import report, study
from maskwise.lab.commands.training import annotate, exam, pretrain, preview, recipes
from maskwise.lab.commands.tuning import drift, finetune

VERBS = (prepare, pretrain, annotate, exam, preview, finetune, drift, study, report, recipes, demo)


def make_app() -> typer.Typer:
    """Returns the application with every verb."""
    app = typer.Typer(
        name="maskwise",
        help="Choose which tokens to mask when a masked language model is trained, and measure whether it helped.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for verb in VERBS:
        app.command()(verb)
    return app


def main() -> None:
    """Runs the command line; a mistake of the user's is one message on stderr and exit code 2."""
    # oneDNN keeps the last 1,024 products it compiled, 0.6 MB each and one for each number of rows: hundreds of MB
    # where that changes from batch to batch, as under Bernoulli masks. It reads this when it is first used.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    try:
        make_app()()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it was (pretrain: with --resume).", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
