"""Which files a folder or a glob stands for: each one once, and none left out without a word.

- Symbolic links are followed. What is reached in several ways is taken once, by its own path rather than by a link.
- Hidden files and folders (".cache", "._notes.txt") are passed over unless they are named.
- What cannot be read, and a link that leads nowhere, is an error.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maskwise.errors import InputError

ANY_DEPTH = "**"
MAX_SHOWN_KINDS = 5


@dataclass
class PassedOver:
    """The paths that a search did not take: hidden ones, files of other kinds, and links to what is taken already."""

    hidden: set[Path] = field(default_factory=set)
    other_kinds: set[Path] = field(default_factory=set)
    repeated: set[Path] = field(default_factory=set)

    def add(self, other: PassedOver) -> None:
        """Takes the paths of another search."""
        self.hidden |= other.hidden
        self.other_kinds |= other.other_kinds
        self.repeated |= other.repeated

    def counts(self) -> dict[str, int]:
        """Returns how many there are, for a manifest."""
        return {"hidden": len(self.hidden), "other_kinds": len(self.other_kinds), "repeated": len(self.repeated)}

    def __str__(self) -> str:
        """Returns one phrase for people; empty if nothing was passed over."""
        kinds = sorted({path.suffix or path.name for path in self.other_kinds})
        shown = ", ".join(kinds[:MAX_SHOWN_KINDS]) + (", ..." if len(kinds) > MAX_SHOWN_KINDS else "")
        parts = [
            f"{len(self.hidden):,} hidden files or folders" if self.hidden else "",
            f"{len(self.other_kinds):,} files of other kinds ({shown})" if self.other_kinds else "",
            f"{len(self.repeated):,} links to what is read already" if self.repeated else "",
        ]
        return ", ".join(filter(None, parts))


class Search:
    """One search for files: `in_folder` or `by_glob` returns them, `passed_over` is what it did not take.

    Args:
        is_wanted: Whether a path has the name of a file that is searched for. Others are passed over in folders, but
            not if a glob matches them.
    """

    def __init__(self, is_wanted: Callable[[Path], bool]) -> None:
        self.is_wanted = is_wanted
        self.passed_over = PassedOver()
        self._files: dict[str, Path] = {}  # by what is behind all links
        self._folders: dict[str, Path] = {}
        self._links: list[Path] = []

    def in_folder(self, folder: Path) -> list[Path]:
        """Returns the wanted files below a folder, sorted by path.

        Raises:
            InputError: If a folder below it cannot be read, or a wanted file is a link to nothing.
        """
        self._walk(folder)
        return self._sorted()

    def by_glob(self, pattern: str) -> list[Path]:
        """Returns the files that match a pattern and the wanted ones below folders that match it, sorted by path.

        Raises:
            InputError: If a folder that may have a match cannot be read, or a match is a link to nothing.
        """
        parts = Path(pattern).parts
        begin = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        for match in self._matches(Path(*parts[:begin]), parts[begin:]):
            if match.is_symlink():
                self._links.append(match)
            else:
                self._meet(match)
        return self._sorted()

    def _sorted(self) -> list[Path]:
        """Follows the links that were met, after everything that was reached without one."""
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._meet(link)
        return sorted(self._files.values())

    def _meet(self, path: Path) -> None:
        if path.is_dir():
            self._walk(path)
            return
        if not path.is_file():
            raise InputError(_explanation(path))
        first = self._files.setdefault(os.path.realpath(path), path)
        if first != path:
            self.passed_over.repeated.add(path)

    def _walk(self, folder: Path) -> None:
        for entries in self._folders_below(folder, self._folders).values():
            for entry in entries:
                path = Path(entry.path)
                if _is_folder(entry):
                    continue
                if not self.is_wanted(path):
                    self.passed_over.other_kinds.add(path)
                elif entry.is_symlink():
                    self._links.append(path)
                else:
                    self._meet(path)

    def _folders_below(self, folder: Path, seen: dict[str, Path]) -> dict[Path, list[os.DirEntry[str]]]:
        """Returns the visible entries of a folder and of all below it but those in `seen`, those behind links last."""
        found: dict[Path, list[os.DirEntry[str]]] = {}
        own, links = [folder], []
        while own or links:
            here = own.pop() if own else links.pop(0)
            first = seen.setdefault(os.path.realpath(here), here)
            if here in found or first != here:
                self.passed_over.repeated |= {here} - {first}
                continue
            entries = _entries(here)
            self.passed_over.hidden |= {Path(entry.path) for entry in entries if _is_hidden(entry)}
            found[here] = [entry for entry in entries if not _is_hidden(entry)]
            for entry in filter(_is_folder, found[here]):
                (links if entry.is_symlink() else own).append(Path(entry.path))
        return found

    def _matches(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """Yields what matches the rest of a pattern in a folder."""
        if not parts or parts == (ANY_DEPTH,):
            yield folder
        elif parts[0] == ANY_DEPTH:
            for below in self._folders_below(folder, {}) if folder.is_dir() else ():
                yield from self._matches(below, parts[1:])
        elif not glob.has_magic(parts[0]):
            if os.path.lexists(folder / parts[0]):
                yield from self._matches(folder / parts[0], parts[1:])
        elif folder.is_dir():
            for entry in _entries(folder):
                if not fnmatch.fnmatchcase(entry.name, parts[0]):
                    continue
                if _is_hidden(entry) and not parts[0].startswith("."):
                    self.passed_over.hidden.add(Path(entry.path))
                else:
                    yield from self._matches(Path(entry.path), parts[1:])


def is_there(path: Path) -> bool:
    """Returns whether a path that a user names exists.

    Raises:
        InputError: If it is a link to nothing, or there is no access to it.
    """
    try:
        if path.exists():
            return True
        is_link = path.is_symlink()
    except (OSError, ValueError) as error:  # no access to a folder; a name too long, or with a zero byte
        raise InputError(f"cannot read {str(path)!r:.200}: {getattr(error, 'strerror', None) or error}.") from None
    if is_link:
        raise InputError(_explanation(path))
    return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"cannot read the folder {folder}: {error.strerror}.\nMake it readable, or name the files to read instead."
        ) from None


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
    except OSError as error:
        raise InputError(f"cannot read {entry.path}: {error.strerror}.") from None


def _explanation(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {os.readlink(path)}, which cannot be reached.\nMend the link, or delete it."
    return f"{path} is neither a file nor a folder."
