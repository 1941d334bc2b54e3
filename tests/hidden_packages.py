"""Runs a script in a process in which packages are hidden, as if they were not installed.

A hidden package is not found by `importlib.util.find_spec` and cannot be imported: a failing import alone would not
show what a look for the package decides.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

HIDING = """
import json, sys
hidden = set(json.loads(sys.argv.pop(1)))

class Finder:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Finder, sys.meta_path)
assert not hidden & {name.partition(".")[0] for name in sys.modules}, "imported before it could be hidden"
"""


def closure(distributions: Iterable[str]) -> set[str]:
    """Returns distributions with all that their metadata requires here, extras left out."""
    found: set[str] = set()
    todo = list(distributions)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


def packages_outside(allowed: set[str]) -> set[str]:
    """Returns the top-level packages of all installed distributions but those allowed, and of maskwise."""
    owners = importlib.metadata.packages_distributions()
    names = {package: {name.lower().replace("_", "-") for name in found} for package, found in owners.items()}
    outside = {package for package, found in names.items() if not found & (allowed | {"maskwise"})}
    return outside - set(sys.stdlib_module_names) - {"maskwise"}


def run_without(hidden: Iterable[str], script: str, *arguments: object, folder: Path, **options):
    """Runs a script without the packages named; returns the finished process."""
    file = folder / "script.py"
    file.write_text(HIDING + script, encoding="utf-8")
    command = [sys.executable, str(file), json.dumps(sorted(hidden)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
