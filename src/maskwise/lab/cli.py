"""The command line: the table of its commands, and what a user's mistake looks like.

A command (`commands/`) reads settings, imports one job, and calls it; heavy imports are inside it, so that `--help`
answers at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

import typer

from maskwise.errors import InputError, first_line
from maskwise.lab.commands.audit import check_command
from maskwise.lab.commands.data import prepare_command
from maskwise.lab.commands.evaluation import babylm_command, evaluate_command
from maskwise.lab.commands.story import demo_command
from maskwise.lab.commands.study import report_command, study_command
from maskwise.lab.commands.training import (
    annotate_command,
    pretrain_command,
    preview_command,
    recipes_command,
)
from maskwise.lab.commands.tuning import drift_command, finetune_command
from maskwise.lab.commands.verify import verify_command
from maskwise.lab.jobs.process import set_up_process

COMMANDS = {
    "prepare": prepare_command,
    "pretrain": pretrain_command,
    "annotate": annotate_command,
    "evaluate": evaluate_command,
    "babylm": babylm_command,
    "preview": preview_command,
    "check": check_command,
    "finetune": finetune_command,
    "drift": drift_command,
    "study": study_command,
    "report": report_command,
    "verify": verify_command,
    "recipes": recipes_command,
    "demo": demo_command,
}


def _keep_traceback() -> str:
    """Returns the name of a new file that holds the traceback of the error at hand."""
    with tempfile.NamedTemporaryFile("w", prefix="maskwise-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return file.name


def make_app() -> typer.Typer:
    """Returns the application with every command."""
    app = typer.Typer(
        name="maskwise",
        help="Choose which tokens to mask when a masked language model is trained, and measure whether it helped.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name, command in COMMANDS.items():
        app.command(name)(command)
    return app


def run_command_line() -> None:
    """Runs the command line; a user's mistake is one message on stderr and exit code 2.

    Any other error is two lines, which name a file with its traceback, and exit code 1.
    """
    set_up_process()
    try:
        make_app()()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":
            _say(f"Error: {error}")
        sys.exit(2)
    except Exception as error:
        file = _keep_traceback()
        _say(f"Error: {type(error).__name__}: {first_line(error)}")
        _say(f"This is a fault of maskwise, not of the command. The traceback is in {file}.")
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped. The same command resumes (pretrain: with --resume).", file=sys.stderr)
        sys.exit(130)


def _say(text: str) -> None:
    """Prints to stderr; halves of surrogate pairs, which an argument may hold, as escapes."""
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"), file=sys.stderr)
