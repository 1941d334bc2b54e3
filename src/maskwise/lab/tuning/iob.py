"""Entities in IOB2 tags, and their strict F1.

`B-X` begins an entity of type X, `I-X` continues it, `O` is outside (Tjong Kim Sang and Veenstra 1999). Strict: an
entity counts if type, first and last word are right; what does not begin with `B-` is not an entity. The scores are
those of seqeval with `mode="strict", scheme=IOB2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"


class Entity(NamedTuple):
    """The words `start` to `stop` (which is not among them) of a sentence."""

    type: str
    start: int
    stop: int


def is_iob2(tag: str) -> bool:
    """Returns whether a tag is `O`, `B-X` or `I-X`."""
    return tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def entities(tags: Sequence[str]) -> list[Entity]:
    """Returns the entities of a sentence's tags; an `I-` that continues nothing belongs to none.

    >>> entities(["B-Disease", "I-Disease", "O", "I-Disease"])
    [Entity(type='Disease', start=0, stop=2)]
    """
    found = []
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            inside = "I-" + tag[2:]
            stop = next((i for i in range(start + 1, len(tags)) if tags[i] != inside), len(tags))
            found.append(Entity(tag[2:], start, stop))
    return found


def invalid(tags: Sequence[str]) -> list[int]:
    """Returns the places of `I-` tags that continue nothing.

    >>> invalid(["I-Gene", "I-Gene", "B-Gene", "I-Disease"])
    [0, 3]
    """
    repaired = repair(tags)
    return [i for i, tag in enumerate(tags) if tag != repaired[i]]


def repair(tags: Sequence[str]) -> list[str]:
    """Returns the tags with each `I-` that continues nothing made a `B-`, as IOB1 means it and people read it.

    >>> repair(["I-Gene", "I-Gene", "O", "B-Gene", "I-Disease"])
    ['B-Gene', 'I-Gene', 'O', 'B-Gene', 'B-Disease']
    """
    repaired: list[str] = []
    for tag in tags:
        goes_on = bool(repaired) and repaired[-1][2:] == tag[2:] and repaired[-1] != OUTSIDE
        repaired.append("B-" + tag[2:] if tag.startswith("I-") and not goes_on else tag)
    return repaired


def entity_scores(labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns strict F1, precision and recall over the entities of all sentences; 0 where there are none.

    >>> entity_scores([["B-X", "O", "B-X"]], [["B-X", "O", "O"]])["entity_recall"]
    0.5
    """
    there = {(i, entity) for i, tags in enumerate(labels) for entity in entities(tags)}
    said = {(i, entity) for i, tags in enumerate(predictions) for entity in entities(tags)}
    right = len(there & said)
    return {
        "entity_f1": 2 * right / (len(there) + len(said)) if right else 0.0,
        "entity_precision": right / len(said) if right else 0.0,
        "entity_recall": right / len(there) if right else 0.0,
    }
