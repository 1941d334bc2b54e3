"""The command line's entry point: looks for what it needs before anything heavy is imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec

LAB_PACKAGES = {
    "datasets": "datasets",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "tomli_w": "tomli-w",
    "typer": "typer",
    "xxhash": "xxhash",
    "zstandard": "zstandard",
}


def main() -> None:
    """Runs the command line, or explains what to install and exits with 2 if packages of the laboratory are missing."""
    missing = [package for module, package in LAB_PACKAGES.items() if find_spec(module) is None]
    if missing:
        print(
            f"Error: the command line needs packages that are not installed: {', '.join(missing)}.\n"
            'Install them with: pip install "maskwise[lab]"',
            file=sys.stderr,
        )
        sys.exit(2)
    from maskwise.lab.cli import run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
