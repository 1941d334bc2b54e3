"""How much memory a process has held."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """Returns the most bytes this process has held: on the GPU if it used one, else in memory.

    None if the system does not tell, as Windows does not without further packages.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
