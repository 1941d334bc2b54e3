"""Progress of long work: a live bar on a terminal if rich is installed, plain lines elsewhere."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PLAIN_LINE_SECONDS = 10.0


class Progress:
    """Shows how far a job is, its rate, and the time left; writes to stderr only.

    Use as a context manager and call `advance`. `total=None` means the end is not known.
    `show=False` makes every call free (ranks other than 0, `--quiet`).
    """

    def __init__(self, title: str, total: float | None, unit: str, *, show: bool = True) -> None:
        self.title, self.total, self.unit, self.show = title, total, unit, show
        self.done = 0.0
        self.note = ""
        self._started_at = self._last_line_at = time.monotonic()
        self._bar = None

    def __enter__(self) -> Progress:
        self._started_at = self._last_line_at = time.monotonic()
        if self.show and sys.stderr.isatty() and find_spec("rich") is not None:
            self._open_bar()
        return self

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        """Adds `amount` units of finished work; `note` is a short text shown behind the figures."""
        self.done += amount
        if note is not None:
            self.note = note
        if not self.show:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self.note, rate=self._rate_text())
        elif time.monotonic() - self._last_line_at >= PLAIN_LINE_SECONDS:
            self._last_line_at = time.monotonic()
            print(self._plain_line(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.show and kind is None:
            print(self._plain_line(), file=sys.stderr, flush=True)

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return self.done / max(time.monotonic() - self._started_at, 1e-9)

    def _rate_text(self) -> str:
        return f"{self.rate:,.{0 if self.rate >= 10 else 1}f} {self.unit}/s"

    def _plain_line(self) -> str:
        parts = [f"{self.title}: {self.done:,.0f}"]
        if self.total:
            parts = [f"{self.title}: {self.done:,.0f} of {self.total:,.0f} ({self.done / self.total:.0%})"]
        parts.append(self._rate_text())
        if self.total and self.done < self.total:
            parts.append(f"{format_seconds((self.total - self.done) / max(self.rate, 1e-9))} left")
        else:
            parts.append(format_seconds(time.monotonic() - self._started_at))
        return ", ".join(parts + ([self.note] if self.note else []))

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task(self.title, total=self.total, rate="", note="")
        self._bar.start()


def format_seconds(seconds: float) -> str:
    """Returns a short duration for people.

    >>> format_seconds(59), format_seconds(75), format_seconds(7260)
    ('59s', '1m15s', '2h01m')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def printer(show: bool) -> Callable[[str], None]:
    """Returns a function that prints a line to stderr, or does nothing (ranks other than 0)."""
    return (lambda line: print(line, file=sys.stderr, flush=True)) if show else (lambda line: None)


def hide_library_bars() -> None:
    """Switches off transformers' bars in this process (weights read, shards written); those of downloads stay.

    They flash past between our own lines, once per checkpoint. For the command line, whose process is ours.
    """
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    shows_downloads = not are_progress_bars_disabled()
    disable_progress_bar()
    if shows_downloads:
        enable_progress_bars()


def silent_if_not_shown(function: Callable[P, R]) -> Callable[P, R]:
    """Returns a function with a parameter `show` that keeps the bars of the libraries off too, if it is False."""
    shows = inspect.signature(function).parameters["show"].default

    @functools.wraps(function)
    def silent(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("show", shows):
            return function(*args, **kwargs)
        with library_bars_off():
            return function(*args, **kwargs)

    return silent


@contextmanager
def library_bars_off() -> Iterator[None]:
    """Keeps the bars of transformers, huggingface_hub and datasets off, and puts back what was before."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    switches = [(are_progress_bars_disabled(), disable_progress_bars, enable_progress_bars)]
    switches += [(not logging.is_progress_bar_enabled(), logging.disable_progress_bar, logging.enable_progress_bar)]
    if find_spec("datasets") is not None:
        from datasets import disable_progress_bars as off
        from datasets import enable_progress_bars as on
        from datasets import is_progress_bar_enabled

        switches += [(not is_progress_bar_enabled(), off, on)]
    for _, disable, _ in switches:
        disable()
    try:
        yield
    finally:
        for was_off, _, enable in reversed(switches):  # transformers' switch moves huggingface_hub's too
            if not was_off:
                enable()
        if switches[0][0]:
            disable_progress_bars()
