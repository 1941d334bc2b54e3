"""Shows the doctests of docstrings as code blocks; mkdocstrings would run their lines together as prose."""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"(?:^>>>.*\n?(?:^(?!\s*$|>>>).*\n?)*)+", flags=re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences every run of doctest lines."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Edits one object's docstring."""
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(lines: re.Match[str]) -> str:
    return f"```python\n{lines.group().rstrip()}\n```\n"
