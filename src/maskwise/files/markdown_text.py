"""Names and descriptions in Markdown, so that they stay text wherever the page is shown."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def markdown_text(text: str) -> str:
    r"""Returns a text without HTML, links and pictures: they are shown as they were written.

    >>> print(markdown_text("<b>p</b> < 0.05, ![x](y)"))
    &lt;b>p&lt;/b> < 0.05, ![x]\(y)
    """
    return _TAG.sub("&lt;", text).replace("](", "]\\(")


def code_span(text: str) -> str:
    """Returns a text between backticks, which end where they should.

    >>> print(code_span("a`<b>`"))
    `a'<b>'`
    """
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"
