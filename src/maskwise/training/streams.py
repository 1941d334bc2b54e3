"""Training data without a length: which pass a run is in, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any


class StreamPosition:
    """Counts the passes over a stream and the batches of the running one; a checkpoint keeps both.

    The Trainer does not know where a pass ends, and counts epochs as shares of the run. A step whose micro-batches the
    end of a pass cuts short is completed by the next pass: the Trainer itself would leave their gradients lying about.
    """

    def __init__(self) -> None:
        self.number = 0
        self.num_batches = 0
        self._waiting: list[Any] = []
        self._num_to_skip = 0
        self._is_begun = False

    def start(self) -> None:
        """Called when training begins: the next pass is the first, or the one that a checkpoint was in."""
        self._is_begun, self._waiting = False, []
        if not self._num_to_skip:
            self.number = self.num_batches = 0

    def begin_pass(self) -> None:
        """Called at the start of each pass."""
        if self._is_begun:
            self.number, self.num_batches = self.number + 1, 0
        self._is_begun = True

    def skip(self, batches: Iterator[Any]) -> bool:
        """Passes over the batches that were trained on before a resume; returns whether there were any."""
        num_to_skip, self._num_to_skip = self._num_to_skip, 0
        for _ in islice(batches, num_to_skip):
            pass
        return num_to_skip > 0

    def group(self, batches: Iterator[Any], size: int) -> list[Any]:
        """Returns the micro-batches of a step; none if the pass ends before the step is full."""
        fresh = list(islice(batches, size - len(self._waiting)))
        group = self._waiting + fresh
        if len(group) < size:
            self._waiting = group
            return []
        self._waiting, self.num_batches = [], self.num_batches + len(fresh)
        return group

    def state_dict(self) -> dict[str, Any]:
        """Returns the pass and the number of its batches that were trained on."""
        return {"pass": self.number, "batches": self.num_batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a position; the batches before it are passed over when training begins."""
        self.number, self.num_batches = int(state["pass"]), int(state["batches"])
        self._num_to_skip = self.num_batches
