"""How a process of ours is set up, before anything heavy is imported: the command line's and a worker's."""

from __future__ import annotations

import os
import sys
import threading


def set_up_process() -> None:
    """Makes modules of the working directory importable, and keeps oneDNN's memory small."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that no file in it stands for a module of the libraries
    # oneDNN keeps the last 1,024 products it compiled, 0.6 MB each and one for each number of rows: hundreds of MB
    # where that changes from batch to batch, as under Bernoulli masks. It reads this when it is first used.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


def end_with_parent() -> None:
    """Ends this process, at once, when the pipe that is its standard input is closed at the other end."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
