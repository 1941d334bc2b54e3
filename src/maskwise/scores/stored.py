"""A frozen teacher's scores, read from the files that `maskwise annotate` wrote.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.score import StatefulScore
from maskwise.scores.score_file import ScoreFile

VALUES, OFFSETS, MANIFEST = "values.f32", "offsets.npy", "manifest.json"


class Stored(StatefulScore):
    """A score that reads a teacher's entropy or surprisal, in nats, by `batch["example_id"]` from a memory map.

    `folder` is what `annotate` returned; nothing outside it is read. It holds no model, so it works in the workers of
    a `MaskingCollator` too, where the rows must carry their number as `example_id`. It also stands in for a teacher:
    `Entropy(Stored(folder), epochs=1)`. Picks are the live teacher's, up to ties in the last bits of float32.

    Raises InputError for an unfinished annotate, and when a batch's rows are not as long as those that were scored.
    """

    is_local = True
    default_pick = "high"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = _finished_manifest(self.folder)
        self.statistic: str = self.manifest["statistic"]
        self.teacher: str = self.manifest["teacher"]
        self.file = ScoreFile(self.folder / VALUES, np.load(self.folder / OFFSETS))
        if not self.file.is_whole():
            raise InputError(
                f"{self.file.path} is missing or cut short. Delete {self.folder} and run maskwise annotate again."
            )

    def fingerprint(self) -> str:
        """Returns the statistic and the hash of the teacher's weights."""
        return f"{super().fingerprint()[:-1]}, teacher_sha256={self.manifest['teacher_sha256']})"

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the stored scores [B, T], 0 at special tokens and padding."""
        return self.file.read(batch)


def _finished_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        state = "were not finished" if folder.exists() else "do not exist"
        raise InputError(f"The scores in {folder} {state}. Run maskwise annotate: it goes on where it stopped.")
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
