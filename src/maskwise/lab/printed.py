"""How a notebook shows what the laboratory's functions return."""

from __future__ import annotations

from html import escape


class Printed:
    """What prints itself: a notebook shows the same lines, in columns.

    >>> class Grades(Printed):
    ...     def __repr__(self):
    ...         return "loss < 3"
    >>> Grades()._repr_html_()
    '<pre>loss &lt; 3</pre>'
    """

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"
