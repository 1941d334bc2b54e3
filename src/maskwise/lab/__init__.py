"""The laboratory: text to tokens to models to verdicts, in folders. Install it with `pip install "maskwise[lab]"`.

The public names, each imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwise.lazy import lazy_names

if TYPE_CHECKING:
    from maskwise.lab.demonstration import demo
    from maskwise.lab.pretraining.annotate import annotate
    from maskwise.lab.pretraining.pretrain import pretrain
    from maskwise.lab.stats.comparison import compare
    from maskwise.lab.stats.paired import holm
    from maskwise.lab.study.runner import run_study
    from maskwise.lab.study.study_file import load_study
    from maskwise.lab.tokens.prepare import prepare
    from maskwise.lab.tuning.finetune import finetune
    from maskwise.lab.weight_changes.report import drift

__all__ = [
    "annotate",
    "compare",
    "demo",
    "drift",
    "finetune",
    "holm",
    "load_study",
    "prepare",
    "pretrain",
    "run_study",
]

_MODULES = {
    "annotate": "maskwise.lab.pretraining.annotate",
    "compare": "maskwise.lab.stats.comparison",
    "demo": "maskwise.lab.demonstration",
    "drift": "maskwise.lab.weight_changes.report",
    "finetune": "maskwise.lab.tuning.finetune",
    "holm": "maskwise.lab.stats.paired",
    "load_study": "maskwise.lab.study.study_file",
    "prepare": "maskwise.lab.tokens.prepare",
    "pretrain": "maskwise.lab.pretraining.pretrain",
    "run_study": "maskwise.lab.study.runner",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
