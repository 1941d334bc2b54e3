"""The weights that a pretraining run starts from, as a checkpoint."""

from __future__ import annotations

from pathlib import Path

from maskwise.lab.config import PretrainSettings
from maskwise.lab.pretraining.build import load_model
from maskwise.lab.tokens.blocks import open_data
from maskwise.models.hf_logging import only_errors


def save_initial_model(settings: PretrainSettings, out: Path) -> Path:
    """Writes the model that a run with these settings has before its first step, with its tokenizer; returns `out`."""
    data = open_data(settings.data.path)
    with only_errors():
        load_model(settings, data).save_pretrained(out)
        data.tokenizer.save_pretrained(out)
    return out
