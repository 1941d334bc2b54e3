"""Names of a package that are imported when first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazy_names(
    package: str, modules: Mapping[str, str], *, elsewhere: str | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package whose public names are in `modules`.

    Args:
        package: The package's name.
        modules: The module that defines each public name.
        elsewhere: Another package with lazy names, for the hint in the error message.

    >>> get, _ = lazy_names("package", {"sqrt": "math"})
    >>> get("sqrt")(9.0)
    3.0
    """

    def get(name: str) -> object:
        if name in modules:
            return getattr(importlib.import_module(modules[name]), name)
        hint = ""
        if elsewhere is not None and not name.startswith("_") and name in importlib.import_module(elsewhere).__all__:
            hint = f"; it is {elsewhere}.{name}"
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    def names() -> list[str]:
        return sorted([*vars(importlib.import_module(package)), *modules])

    return get, names
