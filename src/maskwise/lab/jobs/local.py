"""One cell in a process of its own: it ends when the study does, and notes what it cost.

Called as `python -m maskwise.lab.jobs.local COST_FILE VERB ...`, with a pipe from the study on stdin. A study that is
killed cannot stop its cells; the pipe's end does, so that nobody writes into a run that a resumed study goes on with.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Runs one verb of the command line and appends a line of seconds and peak memory to the cost file."""
    cost, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    started_at = time.monotonic()
    sys.argv = ["maskwise", *arguments]
    try:
        runpy.run_module("maskwise", run_name="__main__")
    finally:
        note = {"seconds": round(time.monotonic() - started_at, 3), "peak_memory": peak_memory()}
        with Path(cost).open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")


def peak_memory() -> int:
    """Returns the most bytes this process has held: on the GPU where it used one, else in memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _end_with_the_study() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
