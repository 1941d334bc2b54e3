"""Files that a reader finds whole: the old content or the new."""

from __future__ import annotations

from pathlib import Path


def atomic_write(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, so that a reader finds the old content or the new, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
