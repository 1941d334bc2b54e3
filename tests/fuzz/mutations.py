"""Ways to spoil an input: bytes, values of settings, rows of tables. Everything follows from one random generator."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JUNK_VALUES = (
    *(0, -1, 1, 2**31, 2**32, 10**30, -(10**12), 0.0, -0.5, 1.5, 1e308, float("inf"), float("nan"), True, False),
    *("", "x", "random", "0-99999999999", "../outside", "/", "\x00", "é" * 300),
    *([], [[]], [1, "a"], {}, {"a": {"b": 1}}, ["random"]),
)
JUNK_BYTES = (
    *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b",", b"\t", b"\n\n\n", b"{", b"}"),
    *(b"[" * 2000, b"\x93\x80"),
)
JUNK_WORDS = (
    *("None", "null", "NaN", "-1", "1e999", "inf", "'", '"', "[[", "masking.rate", "=", "", "true", "{}", "日本"),
    "\ud800",
)


def spoil_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flips bits, cuts, repeats, inserts or removes; up to four times."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        way = draw.randrange(6)
        if way == 0 and data:
            place = draw.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        elif way == 1:
            data = data[:place]
        elif way == 2:
            data = data[:place] + draw.choice(JUNK_BYTES) + data[place:]
        elif way == 3:
            end = min(len(data), place + draw.randrange(1, 200))
            data = data[:place] + data[end:]
        elif way == 4:
            end = min(len(data), place + draw.randrange(1, 200))
            data = data[:end] + data[place:]
        else:
            data = data[:place] + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 30))) + data[place:]
    return data


def spoil_tree(tree: Any, draw: random.Random) -> Any:
    """Returns a copy of nested tables with one to three keys removed, renamed, added or given junk."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw.randint(1, 3)):
        table = draw.choice(list(_tables(tree)))
        key = draw.choice(list(table)) if table else "new"
        way = draw.randrange(4)
        if way == 0:
            table.pop(key, None)
        elif way == 1:
            table[str(draw.choice(JUNK_WORDS)).encode("ascii", "replace").decode() or "empty"] = _junk(draw)
        else:
            table[key] = _junk(draw)
    return tree


def spoil_rows(rows: list[dict[str, Any]], draw: random.Random) -> list[Any]:
    """Returns rows of which one to three lost a column, or have junk in one."""
    rows = [dict(row) for row in rows]
    for _ in range(draw.randint(1, 3)):
        row = draw.choice(rows)
        key = draw.choice(list(row)) if row else "text"
        if draw.random() < 0.3:
            row.pop(key, None)
        else:
            row[key] = draw.choice([value for value in (*JUNK_VALUES, None) if value is None or value == value])
    return rows


def spoil_folder(folder: Path, copy: Path, draw: random.Random) -> Path:
    """Returns a copy of a folder in which one file is damaged, emptied, removed, or replaced by a folder."""
    shutil.copytree(folder, copy)
    path = draw.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
    way = draw.randrange(5)
    if way == 0:
        path.unlink()
    elif way == 1:
        path.write_bytes(b"")
    elif way == 2:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(spoil_bytes(path.read_bytes(), draw))
    return copy


def _junk(draw: random.Random) -> Any:
    return draw.choice(JUNK_VALUES)


def _tables(tree: Any):
    if isinstance(tree, Mapping):
        yield tree
        for value in tree.values():
            yield from _tables(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _tables(value)
