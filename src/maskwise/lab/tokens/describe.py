"""What a data folder holds, in a few lines for people."""

from __future__ import annotations

from maskwise.lab.tokens.blocks import DataFolder

NUM_SHOWN_WORDS = 8
BORDERS = "Ġ▁"  # how vocabularies write the space in front of a word
WORD_BORDERS = {
    "marks": "words begin where the vocabulary marks them: the tokenizer gives one word id to a whole text",
    "nothing": "the tokenizer gives one word id to a whole text: word and span masking are refused with this data",
}


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
    if manifest["word_borders"] in WORD_BORDERS:
        lines.append(WORD_BORDERS[manifest["word_borders"]])
    if counts["long_words"]:
        lines.append(f"{counts['long_words']:,} words of more than 16 pieces: word masking takes them piece by piece")
    lines += manifest["notes"]
    if "extended_tokenizer" in manifest:
        lines += _extension_lines(manifest["extended_tokenizer"])
    return "\n".join(lines)


def _extension_lines(extension: dict) -> list[str]:
    words, asked = extension["words"], extension["words_asked"]
    found = f"{len(words):,}" if len(words) == asked else f"{len(words):,} (no more are useful, of {asked:,} asked)"
    pieces = [
        f"{split} {figures['before']:.3f} -> {figures['after']:.3f}"
        for split, figures in extension["pieces_per_word"].items()
    ]
    return [
        f"{found} whole words added to the {extension['base_vocabulary']:,} tokens of {extension['base']}: "
        + " ".join(word.strip(BORDERS) for word in words[:NUM_SHOWN_WORDS])
        + (" ..." if len(words) > NUM_SHOWN_WORDS else ""),
        f"pieces a word before and after: {', '.join(pieces)}",
    ]
