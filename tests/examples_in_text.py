"""Examples in docstrings and pages: whether they are Python, and fit the functions that they call."""

import ast
import inspect
import re
import textwrap

import maskwise
import maskwise.lab

FRONTS = {name: front for front in (maskwise, maskwise.lab) for name in front.__all__}
PUBLIC = {name: getattr(front, name) for name, front in FRONTS.items()}


def blocks(text):
    """The code between ```python and ```."""
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]


def what_does_not_fit(code):
    """Names that are not there, and calls of public functions with arguments that they do not take."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [f"not Python: {error}"]
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maskwise"):
            module = __import__(node.module, fromlist=["*"])
            faults += [f"{node.module} has no {alias.name}" for alias in node.names if not hasattr(module, alias.name)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PUBLIC:
            faults += _misfit(node)
    return faults


def _misfit(call):
    keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    try:
        inspect.signature(PUBLIC[call.func.id]).bind(*call.args, **keywords)
    except TypeError as error:
        return [f"{call.func.id}: {error}"]
    return []
