"""What a data folder holds, in a few lines for people."""

from __future__ import annotations

from maskwise.data.blocks import DataFolder


def describe(data: DataFolder) -> str:
    """Returns the manifest's counts as text: what was read, what was dropped and why, what is left."""
    counts, manifest = data.manifest["counts"], data.manifest
    documents, tokens, blocks = counts["documents"], counts["tokens"], counts["blocks"]
    dropped = f"{documents['too_short']:,} too short, {documents['duplicates']:,} duplicates"
    lines = [
        f"{data.path}: {documents['kept']:,} of {documents['read']:,} documents ({dropped}), {counts['words']:,} words",
        f"train  {documents['train']:,} documents, {tokens['train']:,} tokens, {blocks['train']:,} blocks",
        f"valid  {documents['valid']:,} documents, {tokens['valid']:,} tokens, {blocks['valid']:,} blocks",
        f"blocks of {manifest['block']} tokens, mode {manifest['mode']}, vocabulary {manifest['vocabulary']:,}",
    ]
    if counts["long_words"]:
        lines.append(f"{counts['long_words']:,} words of more than 16 pieces: word masking takes them piece by piece")
    return "\n".join(lines)
