"""The model card of a run: what was trained, on what, how well, and how to use it and to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwise.evaluation.held_out import HeldOutResult, held_out_table
from maskwise.files.markdown_text import code_span, markdown_text
from maskwise.lab.config import PretrainSettings, to_toml


def model_card(
    settings: PretrainSettings, manifest: Mapping[str, Any], held_out: Mapping[str, HeldOutResult], stopping: str = ""
) -> str:
    """Returns the card as Markdown with the metadata header the Hugging Face hub reads.

    `stopping` says why the run ended and which model was kept, in a run that was followed by `stopping.StopByHeldOut`.
    """
    start = settings.model.checkpoint or f"{settings.model.preset}, from scratch"
    return f"""---
library_name: transformers
pipeline_tag: fill-mask
tags: [masked-lm, maskwise]
---

# Masked language model, recipe {code_span(settings.recipe)}{markdown_text(_own_score(settings))}

{markdown_text(settings.description)}

- Start: {markdown_text(start)}
- Text: {", ".join(code_span(source["name"]) for source in manifest["sources"])}
- Blocks of {manifest["block"]} tokens, mode `{manifest["mode"]}`, seed {settings.seed}

## Frozen evaluation

15% of each held-out block masked at random, all as the mask token; losses in nats a token. Quintile q1 holds the most
frequent types. The evaluation follows training; it is the training objective of the recipe `random`, so it does not
decide between masking strategies.

```
{held_out_table(held_out)}
```
{_stopping_section(markdown_text(stopping))}
## Use

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="path/to/this/folder")
```

## Settings

`maskwise pretrain --config config.toml --out DIR` runs this again:

```toml
{to_toml(settings)}```
"""


def _own_score(settings: PretrainSettings) -> str:
    """Returns by what was masked, if that is not the recipe's score: the recipe's name would tell something else."""
    score = settings.masking.score
    return f", masked by {score}" if ":" in score and not score.startswith("maskwise.") else ""


def _stopping_section(stopping: str) -> str:
    return f"\n## Stopping\n\n{stopping}\n\n![Evaluations by step](curves.svg)\n" if stopping else ""
