"""Files of sentences to choose from: minimal pairs and completions, in the layouts that benchmarks come in.

| layout | what a file holds | the right option | paradigm |
|---|---|---|---|
| BLiMP, BabyLM's `blimp*` and `supplement*` | `sentence_good`, `sentence_bad` | the good one | `UID` or file |
| two columns of your own | the two columns | the first named | `UID` or file |
| Zorro | lines of text: odd ones bad, even ones good | the even line | file |
| entity tracking | `input_prefix`, `options`, `numops` | the first | file and `numops` |
| EWoK | `Context1`, `Target1`, `Target2`, `Domain` | `Target1` | `Domain` |
| COMPS | `prefix_acceptable`, `prefix_unacceptable`, `property_phrase` | the acceptable one | file |

All but Zorro are JSON lines, and any file may be compressed.
Entity tracking, EWoK and COMPS score the completion alone, in its context, as BabyLM's evaluation pipeline does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.lab.text.compressed import open_source
from maskwise.lab.text.lines import lines
from maskwise.lab.text.rows import file_kind, json_objects

TextColumns = tuple[str, str]


class Item(NamedTuple):
    """Texts to choose from, the right one first.

    Scored is what follows the first `scored_from` characters of each text; `completions` are the options as the data
    have them.
    """

    texts: tuple[str, ...]
    scored_from: tuple[int, ...]
    completions: tuple[str, ...]


@dataclass(frozen=True)
class ItemSet:
    """The items of one folder or file, by paradigm."""

    name: str
    path: Path
    layout: str
    paradigms: Mapping[str, Sequence[Item]]

    def __len__(self) -> int:
        return sum(map(len, self.paradigms.values()))


@dataclass
class Found:
    """The sets of items below some folders, and what was passed over."""

    sets: list[ItemSet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_item_sets(folders: str | Path | Iterable[str | Path], columns: TextColumns | None = None) -> Found:
    """Returns every set of items in or below the folders: one for each folder that holds files of a known layout.

    Args:
        folders: One folder or several, or single files.
        columns: The columns of the good and of the bad sentence, for JSON lines of no known layout.

    Returns:
        The sets, in order, and notes on files passed over. A set has its folder's name; below a folder that holds
        several, their paths from there.

    Raises:
        InputError: If nothing is found, a file is of no known layout, or a line does not hold what it should; names
            the file and the line.
    """
    found = Found()
    for folder in map(Path, [folders] if isinstance(folders, str | Path) else folders):
        if not folder.exists():
            raise InputError(
                f"There is no file or folder {folder}. --pairs takes a folder of pairs, or a file of them."
            )
        places = [folder] if folder.is_file() else [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]
        sets = [made for place in places if (made := _set_in(place, columns, found.notes)) is not None]
        if not sets:
            there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else "nothing"
            raise InputError(f"{folder} holds no pairs: no .jsonl files, and no .txt files as Zorro's; found: {there}.")
        found.sets += [_named(made, folder, alone=len(sets) == 1) for made in sets]
    names = [made.name for made in found.sets]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two folders of pairs are called {repeated[0]!r}. Give each once, or their parent folder.")
    return found


def _named(made: ItemSet, folder: Path, *, alone: bool) -> ItemSet:
    base = folder.resolve()
    name = base.name if alone else made.path.resolve().relative_to(base.parent if made.path == folder else base)
    return ItemSet(str(name).split(".")[0] if folder.is_file() else str(name), made.path, made.layout, made.paradigms)


def _set_in(place: Path, columns: TextColumns | None, notes: list[str]) -> ItemSet | None:
    files = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.is_file())
    jsonl = [path for path in files if file_kind(path) == ".jsonl" and not path.name.startswith(".")]
    texts = [path for path in files if file_kind(path) == ".txt" and not path.name.startswith(".")]
    about = [path for path in texts if path.stem.lower().startswith(("readme", "license"))]
    texts = [path for path in texts if path not in about]
    paradigms: dict[str, list[Item]] = {}
    layouts: dict[str, None] = {}
    for path in jsonl:
        layout = _layout_of(path, columns)
        if layout.read is None:
            notes.append(f"{path} is passed over: {layout.name}.")
            continue
        layouts[layout.name] = None
        for number, row in json_objects(path):
            where = f"{path}, line {number:,}"
            uid, item = layout.read(row, path.name.split(".")[0], where)
            paradigms.setdefault(uid, []).append(item)
    if jsonl and texts:
        notes.append(f"{place}: {len(texts)} .txt files are passed over; the pairs are in the .jsonl files.")
    for path in [] if jsonl else texts:
        layouts["zorro"] = None
        paradigms[path.name.split(".")[0]] = _read_zorro(path)
    return ItemSet(place.name, place, ", ".join(layouts), paradigms) if paradigms else None


class _Layout(NamedTuple):
    name: str
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str, str], tuple[str, Item]] | None


def _layout_of(path: Path, columns: TextColumns | None) -> _Layout:
    """Returns the layout of a JSON lines file by the columns of its first line."""
    if columns is not None:
        return _Layout("two columns", columns, _pairs_of(*columns))
    first = next(iter(json_objects(path)), None)
    if first is None:
        raise InputError(f"{path} is empty.")
    for layout in LAYOUTS:
        if all(column in first[1] for column in layout.columns):
            return layout
    raise InputError(
        f"{path} has no sentence_good and sentence_bad; found: {', '.join(first[1]) or 'nothing'}.\n"
        "Name the columns of the good and of the bad sentence with --good-column and --bad-column."
    )


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    """Returns a text of a row, refused if it is not there, not a text, or blank."""
    if column not in row:
        raise InputError(f"{where} has no column {column!r}; found: {', '.join(row) or 'none'}.")
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {column!r} is not a sentence: {value!r:.60}.")
    return value


def _uid(row: Mapping[str, Any], column: str, default: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) and value else default


def _whole(*sentences: str) -> Item:
    return Item(sentences, (0,) * len(sentences), sentences)


def _pairs_of(good: str, bad: str) -> Callable[[Mapping[str, Any], str, str], tuple[str, Item]]:
    def read(row: Mapping[str, Any], stem: str, where: str) -> tuple[str, Item]:
        return _uid(row, "UID", stem), _whole(_text(row, good, where), _text(row, bad, where))

    return read


def _read_entity_tracking(row: Mapping[str, Any], stem: str, where: str) -> tuple[str, Item]:
    prefix, options, numops = _text(row, "input_prefix", where), row["options"], row.get("numops")
    is_list = isinstance(options, list) and len(options) > 1
    if not is_list or not all(isinstance(option, str) and option.strip() for option in options):
        raise InputError(f"{where}: 'options' is not a list of two texts or more: {options!r:.60}.")
    if not isinstance(numops, int):
        raise InputError(f"{where}: 'numops' is not a whole number: {numops!r:.60}.")
    texts = tuple(prefix + option for option in options)
    return f"{stem}_{numops}_ops", Item(texts, (len(prefix),) * len(texts), tuple(options))


def _read_ewok(row: Mapping[str, Any], stem: str, where: str) -> tuple[str, Item]:
    context = _text(row, "Context1", where)
    completions = tuple(f" {_text(row, column, where)}" for column in ("Target1", "Target2"))
    texts = tuple(context + completion for completion in completions)
    return _uid(row, "Domain", stem), Item(texts, (len(context),) * 2, completions)


def _read_comps(row: Mapping[str, Any], stem: str, where: str) -> tuple[str, Item]:
    phrase = _text(row, "property_phrase", where)
    prefixes = [_text(row, column, where) for column in ("prefix_acceptable", "prefix_unacceptable")]
    texts = tuple(f"{prefix} {phrase}" for prefix in prefixes)
    uid = stem.removeprefix("comps_").replace("-", "_")
    return uid, Item(texts, tuple(len(prefix) + 1 for prefix in prefixes), texts)


LAYOUTS = (
    _Layout("pairs", ("sentence_good", "sentence_bad"), _pairs_of("sentence_good", "sentence_bad")),
    _Layout("entity tracking", ("input_prefix", "options"), _read_entity_tracking),
    _Layout("ewok", ("Context1", "Target1", "Target2"), _read_ewok),
    _Layout("comps", ("prefix_acceptable", "prefix_unacceptable", "property_phrase"), _read_comps),
    _Layout("word formation has ratios and no right option (--word-formation)", ("sentences", "ratio"), None),
)


def _read_zorro(path: Path) -> list[Item]:
    with open_source(path) as (stream, _):
        sentences = [(line.number, line.text(path)) for line in lines(stream, path)]
    for number, (found, _) in enumerate(sentences, start=1):
        if number != found:
            raise InputError(f"{path}, line {number:,} is blank; an odd line is a bad sentence, the next the good one.")
    if len(sentences) % 2:
        raise InputError(f"{path} has {len(sentences):,} lines; pairs need an even number (odd: bad, even: good).")
    return [_whole(good, bad) for (_, bad), (_, good) in zip(sentences[::2], sentences[1::2], strict=True)]
